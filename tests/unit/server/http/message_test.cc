#include "server/http/message.h"

#include <catch2/catch.hpp>

namespace reprise {

TEST_CASE("Heads say how the body is framed", "[http]") {
  HttpResponse response;
  response.body = "12345";
  response.headers = {{"X-A", "b"}};
  CHECK(FormatHead(response, BodyFraming::kLength, true) ==
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\nX-A: b\r\n\r\n");
  CHECK(FormatHead(response, BodyFraming::kChunked, false) ==
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: "
        "close\r\n"
        "X-A: b\r\n\r\n");
  response.status = 204;
  CHECK(FormatHead(response, BodyFraming::kNone, true) == "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n");
}

TEST_CASE("Chunks carry their length in hexadecimal", "[http]") {
  std::string out;
  AppendChunk(std::string(26, 'x'), &out);
  CHECK(out == "1a\r\n" + std::string(26, 'x') + "\r\n");
  out.clear();
  AppendChunk("", &out);
  CHECK(out.empty());
}

}  // namespace reprise
