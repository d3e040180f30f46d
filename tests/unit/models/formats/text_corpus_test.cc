#include "models/formats/text_corpus.h"

#include <catch2/catch.hpp>

#include "tests/unit/models/formats/temp_dir.h"

namespace reprise {
namespace {

TEST_CASE("text is taken whole, of JSON lines the strings") {
  const TempDir dir;
  CHECK(ReadTextCorpus(dir.Write("a.txt", "{\"x\": 1}\n\nb\n")).value() == "{\"x\": 1}\n\nb\n");
  CHECK(ReadTextCorpus(dir.Write("a.jsonl",
                                 "{\"q\": \"one\", \"n\": 3, \"turns\": [\"two\", {\"a\": \"three\"}]}\n"
                                 "\n{\"q\": \"four\"}"))
            .value() == "one\ntwo\nthree\n\nfour\n");
}

TEST_CASE("a corpus without text is refused") {
  const TempDir dir;
  CHECK(ReadTextCorpus(dir.path() + "/none").status().code() == StatusCode::kNotFound);
  CHECK(ReadTextCorpus(dir.Write("a.txt", "\n ")).status().code() == StatusCode::kInvalidArgument);
  CHECK(ReadTextCorpus(dir.Write("a.jsonl", "{\"n\": 1}\n")).status().code() == StatusCode::kInvalidArgument);
  const Status broken = ReadTextCorpus(dir.Write("b.jsonl", "{}\n{\"a\": }\n")).status();
  CHECK(broken.code() == StatusCode::kDataLoss);
  CHECK_THAT(broken.message(), Catch::Contains("b.jsonl, line 2"));
}

}  // namespace
}  // namespace reprise
