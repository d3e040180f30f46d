#include "server/tls_files.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>
#include <vector>

#include "base/log.h"

namespace reprise {
namespace {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using CertificatePtr = std::unique_ptr<X509, Deleter<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using BioPtr = std::unique_ptr<BIO, Deleter<BIO_free>>;

// "the TLS key file 'server.key'".
std::string Describe(const char* kind, const std::string& path) {
  return std::string("the TLS ") + kind + " file '" + path + "'";
}

// What OpenSSL objected to first, and nothing that is left for the next call.
std::string TakeOpensslError() {
  const char* reason = ERR_reason_error_string(ERR_get_error());
  ERR_clear_error();
  return reason == nullptr ? "unknown error" : reason;
}

Result<std::string> ReadFile(const char* kind, const std::string& path) {
  const BioPtr file(BIO_new_file(path.c_str(), "rb"));
  std::string text;
  char buffer[4096];
  int size = file == nullptr ? -1 : 0;
  while (size >= 0 && (size = BIO_read(file.get(), buffer, sizeof buffer)) > 0) text.append(buffer, size);
  if (size < 0) return NotFound("cannot read " + Describe(kind, path) + ": " + std::strerror(errno));
  return text;
}

BioPtr ReadOnly(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// All of a file's certificates, at least one.
Result<std::vector<CertificatePtr>> ParseCertificates(const char* kind, const std::string& path,
                                                      const std::string& pem) {
  ERR_clear_error();
  std::vector<CertificatePtr> certificates;
  const BioPtr bio = ReadOnly(pem);
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(certificate);
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string error = TakeOpensslError();
  if (!at_end) {
    return InvalidArgument("certificate " + std::to_string(certificates.size() + 1) + " of " +
                           Describe(kind, path) + " cannot be read: " + error);
  }
  if (certificates.empty()) return InvalidArgument(Describe(kind, path) + " has no certificate in PEM");
  return certificates;
}

// In place of OpenSSL's own way to a passphrase, which asks the terminal and waits.
int RefusePassphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

Result<KeyPtr> ParseKey(const std::string& path, const std::string& pem) {
  bool encrypted = false;
  KeyPtr key(PEM_read_bio_PrivateKey(ReadOnly(pem).get(), nullptr, &RefusePassphrase, &encrypted));
  if (key != nullptr) return key;
  const std::string error = TakeOpensslError();
  const std::string file = Describe("key", path);
  if (encrypted) {
    return InvalidArgument(file + " is encrypted, and the daemon asks for no passphrase: decrypt it with " +
                           "'openssl pkey -in KEY -out PLAIN_KEY'");
  }
  return InvalidArgument(file + " has no private key in PEM: " + error);
}

// HTTP/1 where the client offers a choice; if that is not among it, the alert no_application_protocol.
int SelectHttp1(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                unsigned offered_size, void*) {
  static constexpr unsigned char kSpoken[] = "\x08http/1.1\x08http/1.0";
  unsigned char* selected = nullptr;
  if (SSL_select_next_proto(&selected, out_size, kSpoken, sizeof kSpoken - 1, offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = selected;
  return SSL_TLSEXT_ERR_OK;
}

Status RequireClientCertificates(const std::vector<CertificatePtr>& roots, SSL_CTX* context) {
  for (const CertificatePtr& root : roots) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), root.get()) != 1 ||
        SSL_CTX_add_client_CA(context, root.get()) != 1) {
      return InvalidArgument("OpenSSL refuses a certificate for clients: " + TakeOpensslError());
    }
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return OkStatus();
}

Result<std::shared_ptr<SSL_CTX>> MakeContext(const std::vector<CertificatePtr>& chain, EVP_PKEY* key) {
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free);
  if (context == nullptr) return Internal("OpenSSL makes no context: " + TakeOpensslError());
  bool ok = SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) == 1 &&
            SSL_CTX_use_certificate(context.get(), chain[0].get()) == 1 &&
            SSL_CTX_use_PrivateKey(context.get(), key) == 1;
  for (std::size_t i = 1; ok && i < chain.size(); ++i) {
    ok = SSL_CTX_add1_chain_cert(context.get(), chain[i].get()) == 1;
  }
  // Without a name of ours, sessions of clients with certificates could not be resumed.
  static constexpr unsigned char kName[] = "reprise";
  ok = ok && SSL_CTX_set_session_id_context(context.get(), kName, sizeof kName - 1) == 1;
  if (!ok) return InvalidArgument("OpenSSL refuses the TLS certificate or key: " + TakeOpensslError());
  // A client could keep the network thread busy with renegotiations.
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_alpn_select_cb(context.get(), &SelectHttp1, nullptr);
  return context;
}

std::string FormatTime(const ASN1_TIME* time) {
  std::tm parts{};
  char text[32] = "?";
  if (ASN1_TIME_to_tm(time, &parts) == 1) std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

void LogValidity(const std::string& path, const X509* certificate) {
  const ASN1_TIME* begin = X509_get0_notBefore(certificate);
  const ASN1_TIME* end = X509_get0_notAfter(certificate);
  const bool expired = X509_cmp_current_time(end) < 0;
  const bool early = X509_cmp_current_time(begin) > 0;
  Log(expired || early ? LogLevel::kWarning : LogLevel::kInfo,
      expired ? "the TLS certificate has expired"
      : early ? "the TLS certificate is not valid yet"
              : "TLS certificate",
      {{"file", path}, {"valid_from", FormatTime(begin)}, {"valid_until", FormatTime(end)}});
}

Result<TlsSet> ReadSet(const TlsOptions& paths) {
  TlsSet set;
  ASSIGN_OR_RETURN(set.certificate_chain, ReadFile("certificate", paths.cert));
  ASSIGN_OR_RETURN(const auto chain, ParseCertificates("certificate", paths.cert, set.certificate_chain));
  ASSIGN_OR_RETURN(set.private_key, ReadFile("key", paths.key));
  ASSIGN_OR_RETURN(const KeyPtr key, ParseKey(paths.key, set.private_key));
  if (X509_check_private_key(chain[0].get(), key.get()) != 1) {
    ERR_clear_error();
    return InvalidArgument(Describe("key", paths.key) + " does not belong to the first certificate of '" +
                           paths.cert + "'");
  }
  ASSIGN_OR_RETURN(set.context, MakeContext(chain, key.get()));
  if (!paths.client_ca.empty()) {
    ASSIGN_OR_RETURN(set.client_ca, ReadFile("client CA", paths.client_ca));
    ASSIGN_OR_RETURN(const auto roots, ParseCertificates("client CA", paths.client_ca, set.client_ca));
    RETURN_IF_ERROR(RequireClientCertificates(roots, set.context.get()));
  }
  LogValidity(paths.cert, chain[0].get());
  return set;
}

}  // namespace

Status TlsFiles::Load(const TlsOptions& paths) {
  if (paths.cert.empty() != paths.key.empty()) {
    return InvalidArgument(paths.key.empty() ? "--tls-cert needs --tls-key, the certificate's private key"
                                             : "--tls-key needs --tls-cert, the key's certificate");
  }
  if (paths.cert.empty()) {
    if (paths.client_ca.empty()) return OkStatus();
    return InvalidArgument("--tls-client-ca needs --tls-cert and --tls-key: without TLS no client shows " +
                           std::string("a certificate"));
  }
  ASSIGN_OR_RETURN(TlsSet set, ReadSet(paths));
  const std::lock_guard lock(mutex_);
  paths_ = paths;
  current_ = std::make_shared<const TlsSet>(std::move(set));
  return OkStatus();
}

Status TlsFiles::Reload() {
  TlsOptions paths;
  {
    const std::lock_guard lock(mutex_);
    paths = paths_;
  }
  return Load(paths);
}

std::shared_ptr<const TlsSet> TlsFiles::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

}  // namespace reprise
