// TLS as those meet it who do not get through the handshake. Those who do: tests/e2e/tls_test.py.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/unit/server/http_client.h"
#include "tests/unit/server/temp_file.h"
#include "tests/unit/server/test_certificate.h"
#include "tests/unit/server/test_daemon.h"

namespace reprise {
namespace {

using Json = nlohmann::json;

struct TlsDaemon {
  explicit TlsDaemon(const HttpLimits& limits = {}) : daemon(Options(limits)) {}

  const TestIdentity identity = MakeIdentity();
  const TempFile cert{identity.certificate};
  const TempFile key{identity.key};
  const TestDaemon daemon;

 private:
  ServerOptions Options(const HttpLimits& limits) const {
    ServerOptions options = TestOptions();
    options.tls = {cert.path, key.path, ""};
    options.limits = limits;
    return options;
  }
};

// The first bytes of a ClientHello that is 512 bytes long.
constexpr std::string_view kHalfHello("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);

}  // namespace

TEST_CASE("A handshake that stalls ends with the header's time, on either port", "[tls]") {
  HttpLimits limits;
  limits.header_timeout_s = 0.2;
  const TlsDaemon tls(limits);
  for (const int port : {tls.daemon.server->http_port(), tls.daemon.server->grpc_port()}) {
    INFO(port);
    HttpClient silent(port), halting(port);
    halting.Send(kHalfHello);
    CHECK(silent.AtEnd());
    CHECK(halting.AtEnd());
  }
}

TEST_CASE("Plain HTTP on the port of HTTPS is told so in plain HTTP", "[tls]") {
  const TlsDaemon tls;
  HttpClient client(tls.daemon.port());
  client.Send(FormatRequest("POST", "/v1/completions", R"({"prompt":"a"})"));
  const HttpReply reply = client.Read();
  CHECK(reply.status == 400);
  CHECK(Json::parse(reply.body)["error"]["message"].get<std::string>().find("HTTPS") != std::string::npos);
  CHECK(client.AtEnd());
}

TEST_CASE("What is neither TLS nor HTTP ends at once, what is bad TLS with an alert", "[tls]") {
  const TlsDaemon tls;
  HttpClient garbage(tls.daemon.port());
  garbage.Send("neither TLS nor HTTP\r\n\r\n");
  CHECK(garbage.AtEnd());
  HttpClient bad(tls.daemon.port());
  bad.Send(std::string_view("\x16\x03\x01\x00\x04\x63\x00\x00\x00", 9));  // a handshake of an unknown type
  constexpr std::string_view kAlert("\x15\x03", 2);
  CHECK(bad.ReadUntil(kAlert) == kAlert);
  bad.Close();
}

TEST_CASE("Connections in their handshake count, and those over the limit are closed without a word",
          "[tls]") {
  HttpLimits limits;
  limits.max_connections = 2;
  const TlsDaemon tls(limits);
  HttpClient silent(tls.daemon.port()), halting(tls.daemon.port());
  halting.Send(kHalfHello);
  // Who gets in is told that this is HTTPS.
  const auto gets_in = [&] {
    HttpClient client(tls.daemon.port());
    client.Send(FormatRequest("GET", "/live"));
    return !client.ReadUntil("HTTP").empty();
  };
  CHECK_FALSE(gets_in());
  halting.Close();
  CHECK(Eventually(gets_in));
}

TEST_CASE("A server with a bad TLS file does not start", "[tls]") {
  ServerOptions options = TestOptions();
  options.tls = {"/nowhere/cert.pem", "/nowhere/key.pem", ""};
  CHECK(Server::Start(options).status().code() == StatusCode::kNotFound);
}

}  // namespace reprise
