#include "server/tls_files.h"

#include <openssl/pem.h>
#include <openssl/x509.h>

#include <catch2/catch.hpp>
#include <string>

#include "tests/unit/server/temp_file.h"
#include "tests/unit/server/test_certificate.h"

namespace reprise {
namespace {

// Text before and between the blocks of a PEM file is nobody's business.
constexpr char kComment[] = "a certificate of ours\n";

void CheckRefused(const TlsOptions& paths, StatusCode code, const std::vector<std::string>& words) {
  TlsFiles files;
  const Status status = files.Load(paths);
  CHECK(status.code() == code);
  for (const std::string& word : words) {
    INFO(status.message());
    CHECK(status.message().find(word) != std::string::npos);
  }
  CHECK(status.message().find('\n') == std::string::npos);
  CHECK(files.current() == nullptr);
}

}  // namespace

TEST_CASE("Without paths TLS is off", "[tls_files]") {
  TlsFiles files;
  REQUIRE(files.Load({}).ok());
  CHECK(files.current() == nullptr);
  CHECK(files.Reload().ok());
  CHECK(files.current() == nullptr);
}

TEST_CASE("A chain, its key and roots for clients are taken as they are", "[tls_files]") {
  const TestIdentity root = MakeIdentity({.name = "root"});
  const bool rsa = GENERATE(false, true);
  const TestIdentity leaf = MakeIdentity({.rsa = rsa}, &root);
  const TempFile cert(kComment + leaf.certificate + kComment + root.certificate), key(leaf.key);
  const TempFile client_ca(root.certificate + MakeIdentity({.name = "other root"}).certificate);
  TlsFiles files;
  REQUIRE(files.Load({cert.path, key.path, ""}).ok());
  const std::shared_ptr<const TlsSet> set = files.current();
  CHECK(set->certificate_chain == kComment + leaf.certificate + kComment + root.certificate);
  CHECK(set->private_key == leaf.key);
  CHECK(set->client_ca.empty());
  SSL_CTX* context = set->context.get();
  CHECK(SSL_CTX_get_min_proto_version(context) == TLS1_2_VERSION);
  CHECK(SSL_CTX_get_verify_mode(context) == SSL_VERIFY_NONE);
  STACK_OF(X509)* chain = nullptr;
  SSL_CTX_get0_chain_certs(context, &chain);
  CHECK(sk_X509_num(chain) == 1);
  REQUIRE(files.Load({cert.path, key.path, client_ca.path}).ok());
  context = files.current()->context.get();
  CHECK(SSL_CTX_get_verify_mode(context) == (SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT));
  CHECK(sk_X509_NAME_num(SSL_CTX_get_client_CA_list(context)) == 2);
  CHECK(sk_X509_OBJECT_num(X509_STORE_get0_objects(SSL_CTX_get_cert_store(context))) == 2);
}

TEST_CASE("A file without its companion is refused", "[tls_files]") {
  const TestIdentity self = MakeIdentity();
  const TempFile cert(self.certificate), key(self.key);
  CheckRefused({cert.path, "", ""}, StatusCode::kInvalidArgument, {"--tls-cert needs --tls-key"});
  CheckRefused({"", key.path, ""}, StatusCode::kInvalidArgument, {"--tls-key needs --tls-cert"});
  CheckRefused({"", "", cert.path}, StatusCode::kInvalidArgument, {"--tls-client-ca needs --tls-cert"});
}

TEST_CASE("What cannot be read is named, with the reason", "[tls_files]") {
  const TestIdentity self = MakeIdentity();
  const TempFile cert(self.certificate), key(self.key);
  CheckRefused({"/nowhere/c.pem", key.path, ""}, StatusCode::kNotFound, {"/nowhere/c.pem", "No such file"});
  CheckRefused({cert.path, "/nowhere/k.pem", ""}, StatusCode::kNotFound, {"key file '/nowhere/k.pem'"});
  CheckRefused({cert.path, key.path, "/nowhere/a.pem"}, StatusCode::kNotFound,
               {"client CA", "/nowhere/a.pem"});
  CheckRefused({"/", key.path, ""}, StatusCode::kNotFound, {"file '/'", "directory"});
}

TEST_CASE("What is not PEM, or the wrong kind of it, is refused", "[tls_files]") {
  const TestIdentity self = MakeIdentity();
  const TempFile cert(self.certificate), key(self.key), text("hello\n"), empty("");
  const TempFile cut(self.certificate + self.certificate.substr(0, self.certificate.size() / 2));
  const TempFile damaged(self.certificate + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  for (const TempFile* bad : {&text, &empty, &key}) {
    CheckRefused({bad->path, key.path, ""}, StatusCode::kInvalidArgument,
                 {bad->path, "no certificate in PEM"});
    CheckRefused({cert.path, key.path, bad->path}, StatusCode::kInvalidArgument,
                 {bad->path, "client CA", "no certificate in PEM"});
  }
  for (const TempFile* bad : {&cut, &damaged}) {
    CheckRefused({bad->path, key.path, ""}, StatusCode::kInvalidArgument, {"certificate 2", bad->path});
  }
  for (const TempFile* bad : {&text, &empty, &cert}) {
    CheckRefused({cert.path, bad->path, ""}, StatusCode::kInvalidArgument,
                 {bad->path, "no private key in PEM"});
  }
}

TEST_CASE("A key of another certificate is refused, of the same kind or not", "[tls_files]") {
  const TestIdentity self = MakeIdentity();
  const TempFile cert(self.certificate);
  const TempFile key(MakeIdentity({.rsa = GENERATE(false, true)}).key);
  CheckRefused({cert.path, key.path, ""}, StatusCode::kInvalidArgument,
               {key.path, "does not belong", cert.path});
}

TEST_CASE("An encrypted key is refused, and nobody is asked for its passphrase", "[tls_files]") {
  const TestIdentity self = MakeIdentity();
  const TempFile cert(self.certificate), key(EncryptKey(self.key));
  CheckRefused({cert.path, key.path, ""}, StatusCode::kInvalidArgument,
               {key.path, "encrypted", "openssl pkey"});
}

TEST_CASE("A certificate that is not valid today is taken", "[tls_files]") {
  const bool early = GENERATE(false, true);
  const TestIdentity self =
      MakeIdentity({.valid_from = early ? 600 : -7200, .valid_until = early ? 7200 : -600});
  const TempFile cert(self.certificate), key(self.key);
  TlsFiles files;
  CHECK(files.Load({cert.path, key.path, ""}).ok());
}

TEST_CASE("Reading again replaces the set, or keeps it when it cannot", "[tls_files]") {
  const TestIdentity first = MakeIdentity(), second = MakeIdentity();
  const TempFile cert(first.certificate), key(first.key);
  TlsFiles files;
  REQUIRE(files.Load({cert.path, key.path, ""}).ok());
  const std::shared_ptr<const TlsSet> before = files.current();
  cert.Write(second.certificate);
  CHECK(files.Reload().message().find("does not belong") != std::string::npos);
  CHECK(files.current() == before);
  key.Write(second.key);
  REQUIRE(files.Reload().ok());
  CHECK(files.current()->certificate_chain == second.certificate);
  CHECK(files.current()->context != before->context);
  CHECK(before->certificate_chain == first.certificate);
}

}  // namespace reprise
