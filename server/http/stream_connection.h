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
class StreamConnection : public Connection {
 public:
  // `arguments` make the stream.
  template <typename... Arguments>
  explicit StreamConnection(ConnectionHost* host, Arguments&&... arguments)
      : Connection(host), stream_(std::forward<Arguments>(arguments)...) {}

 protected:
  using ErrorCode = boost::system::error_code;

  void AsyncOpen() override { OnOpened(); }
  void AsyncRead() override { ReadFrom(stream_); }
  void AsyncWrite(const std::string& bytes) override { WriteTo(stream_, bytes); }

  // `layer` is the stream, or one below it.
  template <typename Layer>
  void ReadFrom(Layer& layer) {
    layer.async_read_some(boost::asio::buffer(read_buffer_), [self = Self()](ErrorCode error, std::size_t n) {
      self->OnRead(static_cast<bool>(error), n);
    });
  }

  template <typename Layer>
  void WriteTo(Layer& layer, const std::string& bytes) {
    boost::asio::async_write(
        layer, boost::asio::buffer(bytes),
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

 private:
  std::shared_ptr<StreamConnection> Self() {
    return std::static_pointer_cast<StreamConnection>(shared_from_this());
  }
};

}  // namespace reprise
