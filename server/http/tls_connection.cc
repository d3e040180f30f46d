#include "server/http/tls_connection.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <string>
#include <utility>

#include "base/log.h"
#include "server/http/stream_connection.h"

namespace reprise {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

class TlsConnection final : public StreamConnection<asio::ssl::stream<tcp::socket>> {
 public:
  using StreamConnection::StreamConnection;

 private:
  void AsyncOpen() override {
    stream_.async_handshake(asio::ssl::stream_base::server,
                            [self = Self()](ErrorCode error) { self->OnHandshake(error); });
  }

  void AsyncRead() override { below_tls_ ? ReadFrom(stream_.next_layer()) : ReadFrom(stream_); }
  void AsyncWrite(const std::string& bytes) override {
    below_tls_ ? WriteTo(stream_.next_layer(), bytes) : WriteTo(stream_, bytes);
  }

  // Sends close_notify, without which what was sent last would look cut off. The peer's own ends the read
  // that is under way.
  void ShutdownSend() override {
    if (below_tls_) return StreamConnection::ShutdownSend();
    stream_.async_shutdown([self = Self()](ErrorCode) {});
  }

  void OnHandshake(ErrorCode error) {
    if (closed()) return;
    if (!error) return OnOpened();
    if (error.category() != asio::error::get_ssl_category()) return Close();  // the client went away
    // OpenSSL has sent its alert, where there is one. The client must have the time to read it.
    below_tls_ = true;
    if (error.value() == ERR_PACK(ERR_LIB_SSL, 0, SSL_R_HTTP_REQUEST)) {
      return Refuse(400, "this port speaks HTTPS: use https:// in place of http://");
    }
    LogFailure(error);
    Linger();
  }

  void LogFailure(ErrorCode error) {
    ErrorCode ignored;
    const auto client = stream_.lowest_layer().remote_endpoint(ignored);
    std::string reason = error.message();
    const long verification = SSL_get_verify_result(stream_.native_handle());
    if (verification != X509_V_OK) {
      reason += std::string(": ") + X509_verify_cert_error_string(verification);
    }
    LogInfo("tls handshake failed", {{"client", client.address().to_string()}, {"reason", reason}});
  }

  std::shared_ptr<TlsConnection> Self() {
    return std::static_pointer_cast<TlsConnection>(shared_from_this());
  }

  bool below_tls_ = false;  // no handshake: the peer is told so in its own words
};

}  // namespace

std::shared_ptr<Connection> MakeTlsConnection(tcp::socket socket, SSL_CTX* context, ConnectionHost* host) {
  SSL_CTX_up_ref(context);
  asio::ssl::context shared(context);  // owns that reference; the stream takes one of its own
  return std::make_shared<TlsConnection>(host, std::move(socket), shared);
}

}  // namespace reprise
