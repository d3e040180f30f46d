// What the files beside a tokenizer.json change.
#include <catch2/catch.hpp>

#include "tests/unit/models/formats/temp_dir.h"
#include "tests/unit/models/tokenizer/golden_data.h"

namespace reprise {
namespace {

constexpr char kTokenizer[] = R"({
  "added_tokens": [{"id": 2, "content": "<s>", "special": true}, {"id": 3, "content": "</s>", "special": true}],
  "post_processor": {"type": "TemplateProcessing",
                     "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
                     "special_tokens": {"<s>": {"id": "<s>", "ids": [2]}}},
  "decoder": {"type": "ByteLevel"},
  "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}})";

struct Folder {
  TempDir dir;
  Folder() { dir.Write("tokenizer.json", kTokenizer); }
  std::unique_ptr<Tokenizer> Load() const { return LoadTokenizer(dir.path()); }
};

TEST_CASE("without further files the template names the BOS") {
  const Folder folder;
  const auto tokenizer = folder.Load();
  CHECK(tokenizer->bos() == 2);
  CHECK(tokenizer->adds_bos());
  CHECK(tokenizer->eos().empty());
  CHECK(tokenizer->chat_template().empty());
  CHECK(*tokenizer->Encode("ab") == std::vector<TokenId>{2, 0, 1});
}

TEST_CASE("tokens are strings or objects") {
  const Folder folder;
  folder.dir.Write("tokenizer_config.json", R"({"bos_token": "<s>", "eos_token": {"content": "</s>"}})");
  const auto tokenizer = folder.Load();
  CHECK(tokenizer->bos() == 2);
  REQUIRE(tokenizer->eos().size() == 1);
  CHECK(tokenizer->eos()[0] == 3);
}

TEST_CASE("special_tokens_map.json fills in what the config leaves out") {
  const Folder folder;
  folder.dir.Write("tokenizer_config.json", R"({"bos_token": null})");
  folder.dir.Write("special_tokens_map.json", R"({"eos_token": "</s>"})");
  CHECK(folder.Load()->eos().size() == 1);
}

TEST_CASE("add_bos_token and add_eos_token replace the post-processor") {
  const Folder folder;
  folder.dir.Write("tokenizer_config.json",
                   R"({"add_bos_token": false, "bos_token": "<s>", "eos_token": "</s>"})");
  CHECK(*folder.Load()->Encode("a") == std::vector<TokenId>{0});
  CHECK_FALSE(folder.Load()->adds_bos());
  folder.dir.Write("tokenizer_config.json",
                   R"({"add_eos_token": true, "bos_token": "<s>", "eos_token": "</s>"})");
  CHECK(*folder.Load()->Encode("a") == std::vector<TokenId>{0, 3});
  folder.dir.Write("tokenizer_config.json", R"({"add_bos_token": true, "bos_token": "</s>"})");
  CHECK(*folder.Load()->Encode("a") == std::vector<TokenId>{3, 0});
}

TEST_CASE("the chat template is a string, the default of a list, or a file of its own") {
  const Folder folder;
  folder.dir.Write("tokenizer_config.json", R"({"chat_template": "one"})");
  CHECK(folder.Load()->chat_template() == "one");
  folder.dir.Write("tokenizer_config.json", R"({"chat_template": [{"name": "tool_use", "template": "tools"},
                                                {"name": "default", "template": "two"}]})");
  CHECK(folder.Load()->chat_template() == "two");
  folder.dir.Write("chat_template.jinja", "three");
  CHECK(folder.Load()->chat_template() == "three");
}

TEST_CASE("wrong types in the config are named") {
  const Folder folder;
  for (const char* config :
       {R"({"bos_token": 1})", R"({"add_bos_token": "yes"})", R"({"chat_template": 3})",
        R"({"chat_template": [{"name": "default"}]})", R"({"eos_token": {"content": 1}})"}) {
    folder.dir.Write("tokenizer_config.json", config);
    const auto loaded = Tokenizer::Load(folder.dir.path());
    CHECK(loaded.status().code() == StatusCode::kInvalidArgument);
    CHECK(loaded.status().message().find("tokenizer_config.json") != std::string::npos);
  }
}

TEST_CASE("a folder without a tokenizer is an error that names the file") {
  const TempDir dir;
  const auto loaded = Tokenizer::Load(dir.path());
  REQUIRE(loaded.status().code() == StatusCode::kNotFound);
  CHECK(loaded.status().message().find("tokenizer.json") != std::string::npos);
}

}  // namespace
}  // namespace reprise
