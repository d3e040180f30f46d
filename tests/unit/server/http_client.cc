#include "tests/unit/server/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cctype>
#include <sstream>

namespace reprise {

HttpClient::HttpClient(int port) {
  socket_ = socket(AF_INET, SOCK_STREAM, 0);
  // A test that waits for ever is worse than one that fails.
  const timeval timeout{30, 0};
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
}

HttpClient::~HttpClient() {
  Close();
}

void HttpClient::Close() {
  if (socket_ >= 0) close(socket_);
  socket_ = -1;
}

void HttpClient::Reset() {
  const linger hard{1, 0};
  setsockopt(socket_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  Close();
}

bool HttpClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool HttpClient::Fill() {
  char buffer[16384];
  const ssize_t received = recv(socket_, buffer, sizeof(buffer), 0);
  if (received <= 0) return false;
  input_.append(buffer, static_cast<std::size_t>(received));
  return true;
}

std::string HttpClient::ReadUntil(std::string_view text) {
  std::size_t found;
  while ((found = input_.find(text)) == std::string::npos) {
    if (!Fill()) return {};
  }
  std::string head = input_.substr(0, found + text.size());
  input_.erase(0, head.size());
  return head;
}

bool HttpClient::AtEnd() {
  return input_.empty() && !Fill();
}

HttpReply HttpClient::Read(bool head) {
  HttpReply reply;
  std::istringstream lines(ReadUntil("\r\n\r\n"));
  std::string line;
  if (!std::getline(lines, line)) return reply;
  reply.status = std::stoi(line.substr(9, 3));
  while (std::getline(lines, line) && line != "\r") {
    const std::size_t colon = line.find(": ");
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    reply.headers[name] = line.substr(colon + 2, line.size() - colon - 3);
  }
  if (head || reply.status == 204) {
    reply.complete = true;
  } else if (reply.header("transfer-encoding") == "chunked") {
    for (;;) {
      const std::string size_line = ReadUntil("\r\n");
      if (size_line.empty()) return reply;
      const std::size_t size = std::stoul(size_line, nullptr, 16);
      while (input_.size() < size + 2) {
        if (!Fill()) return reply;
      }
      if (input_.substr(size, 2) != "\r\n") return reply;
      if (size > 0) reply.chunks.push_back(input_.substr(0, size));
      reply.body += input_.substr(0, size);
      input_.erase(0, size + 2);
      if (size == 0) break;
    }
    reply.complete = true;
  } else if (!reply.header("content-length").empty()) {
    const std::size_t size = std::stoul(reply.header("content-length"));
    while (input_.size() < size) {
      if (!Fill()) return reply;
    }
    reply.body = input_.substr(0, size);
    input_.erase(0, size);
    reply.complete = true;
  } else {
    while (Fill()) {
    }
    reply.body = std::move(input_);
    input_.clear();
    reply.complete = true;
  }
  return reply;
}

std::string FormatRequest(const std::string& method, const std::string& path, const std::string& body,
                          const std::string& headers) {
  std::string request = method + " " + path + " HTTP/1.1\r\nHost: test\r\n" + headers;
  if (method == "POST") request += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  return request + "\r\n" + body;
}

HttpReply Get(int port, const std::string& path, const std::string& headers) {
  HttpClient client(port);
  client.Send(FormatRequest("GET", path, "", headers));
  return client.Read();
}

HttpReply Post(int port, const std::string& path, const std::string& body, const std::string& headers) {
  HttpClient client(port);
  client.Send(FormatRequest("POST", path, body, headers));
  return client.Read();
}

std::vector<std::string> SseEvents(const std::string& body) {
  std::vector<std::string> events;
  for (std::size_t begin = 0; begin < body.size();) {
    const std::size_t end = body.find("\n\n", begin);
    REQUIRE(end != std::string::npos);
    REQUIRE(body.compare(begin, 6, "data: ") == 0);
    events.push_back(body.substr(begin + 6, end - begin - 6));
    begin = end + 2;
  }
  return events;
}

double MetricValue(const std::string& text, const std::string& series) {
  const bool with_labels = series.find('{') != std::string::npos;
  std::istringstream lines(text);
  double sum = 0;
  bool found = false;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(series)) continue;
    const char next = line.size() > series.size() ? line[series.size()] : '\0';
    if (next != ' ' && (with_labels || next != '{')) continue;
    sum += std::stod(line.substr(line.rfind(' ') + 1));
    found = true;
  }
  return found ? sum : -1;
}

}  // namespace reprise
