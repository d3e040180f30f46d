// gRPC's view of the daemon's certificates.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "server/tls_files.h"

namespace reprise {

// Every handshake is made with what `files` holds at its beginning. `files` outlives the credentials, and
// these the server. TLS must be on.
std::shared_ptr<grpc::ServerCredentials> MakeTlsCredentials(const TlsFiles* files);

}  // namespace reprise
