#include "tests/unit/server/test_certificate.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <memory>

#include "base/check.h"

namespace reprise {
namespace {

using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using CertificatePtr = std::unique_ptr<X509, decltype(&X509_free)>;
using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free)>;

constexpr char kPassphrase[] = "open sesame";

BioPtr Memory() {
  return {BIO_new(BIO_s_mem()), &BIO_free};
}

BioPtr Memory(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free};
}

std::string TakeText(const BioPtr& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

KeyPtr ReadKey(const std::string& pem) {
  return {PEM_read_bio_PrivateKey(Memory(pem).get(), nullptr, nullptr, nullptr), &EVP_PKEY_free};
}

std::string WriteKey(EVP_PKEY* key, const EVP_CIPHER* cipher, const char* passphrase) {
  const BioPtr bio = Memory();
  const int size = passphrase == nullptr ? 0 : static_cast<int>(std::char_traits<char>::length(passphrase));
  REPRISE_CHECK(PEM_write_bio_PKCS8PrivateKey(bio.get(), key, cipher, passphrase, size, nullptr, nullptr) ==
                1);
  return TakeText(bio);
}

}  // namespace

TestIdentity MakeIdentity(const TestCertificateOptions& options, const TestIdentity* issuer) {
  const KeyPtr key(options.rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"), &EVP_PKEY_free);
  const CertificatePtr certificate(X509_new(), &X509_free);
  X509* const x509 = certificate.get();
  X509_set_version(x509, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
  X509_gmtime_adj(X509_getm_notBefore(x509), options.valid_from);
  X509_gmtime_adj(X509_getm_notAfter(x509), options.valid_until);
  X509_set_pubkey(x509, key.get());
  const auto* name = reinterpret_cast<const unsigned char*>(options.name.c_str());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8, name, -1, -1, 0);
  if (issuer == nullptr) {
    X509_set_issuer_name(x509, X509_get_subject_name(x509));
    X509_sign(x509, key.get(), EVP_sha256());
  } else {
    const CertificatePtr parent(
        PEM_read_bio_X509(Memory(issuer->certificate).get(), nullptr, nullptr, nullptr), &X509_free);
    X509_set_issuer_name(x509, X509_get_subject_name(parent.get()));
    X509_sign(x509, ReadKey(issuer->key).get(), EVP_sha256());
  }
  const BioPtr bio = Memory();
  REPRISE_CHECK(PEM_write_bio_X509(bio.get(), x509) == 1);
  return {TakeText(bio), WriteKey(key.get(), nullptr, nullptr)};
}

std::string EncryptKey(const std::string& key) {
  return WriteKey(ReadKey(key).get(), EVP_aes_128_cbc(), kPassphrase);
}

}  // namespace reprise
