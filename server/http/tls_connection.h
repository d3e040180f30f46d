// A connection over TLS.
#pragma once

#include <openssl/ssl.h>

#include <boost/asio/ip/tcp.hpp>
#include <memory>

#include "server/http/connection.h"

namespace reprise {

// The handshake begins with Start. `context` is shared; `host` outlives the connection.
std::shared_ptr<Connection> MakeTlsConnection(boost::asio::ip::tcp::socket socket, SSL_CTX* context,
                                              ConnectionHost* host);

}  // namespace reprise
