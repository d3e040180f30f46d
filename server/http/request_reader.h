// Cuts HTTP/1.1 requests out of a connection's bytes, within limits. Beast does the grammar.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "server/http/message.h"
#include "server/options.h"

namespace reprise {

class RequestReader {
 public:
  enum class Outcome {
    kNeedMore,        // bytes are missing
    kExpectContinue,  // the client waits for "100 Continue" before it sends the body; said once
    kComplete,        // Take it
    kError,           // see error_status; the connection cannot go on
  };

  explicit RequestReader(const HttpLimits& limits);
  ~RequestReader();

  // Consumes from the front of `input` what belongs to the current request.
  Outcome Feed(std::string* input);
  // After kComplete; begins the next request.
  HttpRequest Take();

  // Some of the current request has been read; its header is complete.
  bool started() const { return started_; }
  bool has_header() const;

  // After kError: 400, 413, 431 or 505, and why.
  int error_status() const { return error_status_; }
  const std::string& error_message() const { return error_message_; }

 private:
  struct Parser;

  void Reset();
  Outcome Fail(int status, std::string message);
  // After the header: what this server does not take.
  bool CheckHeader();

  const HttpLimits limits_;
  std::unique_ptr<Parser> parser_;
  bool started_ = false;
  bool header_checked_ = false;
  bool sent_continue_ = false;
  int error_status_ = 0;
  std::string error_message_;
};

}  // namespace reprise
