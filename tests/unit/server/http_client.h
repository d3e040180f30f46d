// A small HTTP/1.1 client that hides nothing: tests send the bytes they mean and see the bytes that come.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace reprise {

struct HttpReply {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // chunks put together
  std::vector<std::string> chunks;             // of a chunked body, as they came
  bool complete = false;                       // false: the connection ended before the reply did

  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

class HttpClient {
 public:
  explicit HttpClient(int port);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // False when the server has closed the connection.
  bool Send(std::string_view bytes);
  // Reads one reply; `head`: it has no body whatever its headers say.
  HttpReply Read(bool head = false);
  // Reads until `text` has come, and returns everything up to its end; empty when the connection ends before.
  std::string ReadUntil(std::string_view text);
  // Nothing more comes: the server has closed.
  bool AtEnd();
  void Close();
  // As a crashed client does: the server sees a reset.
  void Reset();

 private:
  bool Fill();

  int socket_ = -1;
  std::string input_;
};

std::string FormatRequest(const std::string& method, const std::string& path, const std::string& body = "",
                          const std::string& headers = "");

// One request on a connection of its own.
HttpReply Get(int port, const std::string& path, const std::string& headers = "");
HttpReply Post(int port, const std::string& path, const std::string& body, const std::string& headers = "");

// The data of each server-sent event.
std::vector<std::string> SseEvents(const std::string& body);

// The value of a series in Prometheus's text, such as
// `vllm:num_requests_running{model_name="tiny",engine="0"}` or, when `series` has no labels, the sum over all
// of that name. -1 when there is none.
double MetricValue(const std::string& text, const std::string& series);

}  // namespace reprise
