// Keys and certificates made for a test.
#pragma once

#include <string>

namespace reprise {

// Both in PEM.
struct TestIdentity {
  std::string certificate;
  std::string key;
};

struct TestCertificateOptions {
  std::string name = "localhost";
  bool rsa = false;  // else EC
  // Seconds from now.
  long valid_from = -60;
  long valid_until = 3600;
};

// Signed by `issuer`, or by itself.
TestIdentity MakeIdentity(const TestCertificateOptions& options = {}, const TestIdentity* issuer = nullptr);

// The same key, under a passphrase.
std::string EncryptKey(const std::string& key);

}  // namespace reprise
