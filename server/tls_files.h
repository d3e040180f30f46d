// The certificates of the daemon: read, checked and held once, for HTTP and gRPC alike.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <mutex>
#include <string>

#include "base/status.h"
#include "server/options.h"

namespace reprise {

// What one reading of the files gave. A connection keeps the set that it began with.
struct TlsSet {
  // The files' contents, in PEM; OpenSSL could read all of it.
  std::string certificate_chain;
  std::string private_key;
  std::string client_ca;  // empty: clients need no certificate
  // The same as OpenSSL takes it, for a server of HTTP/1.1: TLS 1.2 or later, OpenSSL's defaults otherwise.
  std::shared_ptr<SSL_CTX> context;
};

// Any thread.
class TlsFiles {
 public:
  // No paths at all: TLS is off, ever. NOT_FOUND when a file cannot be read, INVALID_ARGUMENT when one is
  // missing beside another, is not PEM, is encrypted, or when key and certificate do not belong together. A
  // certificate that is not valid today is only warned of.
  Status Load(const TlsOptions& paths);
  // Reads the same files again; on an error the old set stays.
  Status Reload();

  // nullptr: TLS is off.
  std::shared_ptr<const TlsSet> current() const;

 private:
  mutable std::mutex mutex_;
  TlsOptions paths_;
  std::shared_ptr<const TlsSet> current_;
};

}  // namespace reprise
