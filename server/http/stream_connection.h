// A connection over an Asio stream: a TCP socket, or whatever wraps one.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/error_code.hpp>
#include <memory>
#include <utility>

#include "server/http/connection.h"

namespace reprise {

template <typename Stream>
class StreamConnection final : public Connection {
 public:
  StreamConnection(Stream stream, ConnectionHost* host) : Connection(host), stream_(std::move(stream)) {}

 private:
  using ErrorCode = boost::system::error_code;

  std::shared_ptr<StreamConnection> Self() {
    return std::static_pointer_cast<StreamConnection>(shared_from_this());
  }

  void AsyncRead() override {
    stream_.async_read_some(
        boost::asio::buffer(read_buffer_),
        [self = Self()](ErrorCode error, std::size_t n) { self->OnRead(static_cast<bool>(error), n); });
  }

  void AsyncWrite(const std::string& bytes) override {
    boost::asio::async_write(
        stream_, boost::asio::buffer(bytes),
        [self = Self()](ErrorCode error, std::size_t) { self->OnWritten(static_cast<bool>(error)); });
  }

  // Errors here mean that the peer has gone, which the next read reports.
  void ShutdownSend() override {
    ErrorCode ignored;
    stream_.lowest_layer().shutdown(boost::asio::socket_base::shutdown_send, ignored);
  }
  void CloseStream() override {
    ErrorCode ignored;
    stream_.lowest_layer().close(ignored);
  }

  void Defer(std::function<void()> task) override {
    boost::asio::post(stream_.get_executor(), std::move(task));
  }

  Stream stream_;
};

}  // namespace reprise
