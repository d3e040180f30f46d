// Families, recycle modules and drafts: what fits loads, what does not is refused with both values.
#include "models/family.h"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <regex>

#include "base/sha256.h"
#include "models/quantize_model.h"
#include "tests/unit/models/tiny_family.h"

namespace reprise {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

constexpr const char* kTarget = "tests/data/models/smollm2";
constexpr const char* kOther = "assets/base";

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

// A directory with a module, or a draft that shares the target's vocabulary matrices, quantised or not.
class Made {
 public:
  explicit Made(bool draft, int draft_vocab = 0, bool quantized = false) : path_(dir_.path()) {
    const ModelConfig config = LoadModelConfig(kTarget).value();
    const auto checkpoint = std::move(Checkpoint::Open(kTarget)).value();
    if (draft) {
      std::mt19937 random(3);
      TensorFile file;
      file.Add("model.norm.weight", {config.hidden_size}, [](std::int64_t) { return 1.0f; });
      AddLayers(&file, "model.", config, 1, 0.1f, &random);
      file.Write(path() + "/model.safetensors");
      dir_.Write("config.json",
                 "{\"architectures\":[\"RepriseDraft\"],\"model_type\":\"llama\",\"shared\":"
                 "[\"embedding\",\"head\"]," +
                     LayerFields(config, 1, BaseFingerprint(*checkpoint, config).value()) + "}");
    } else {
      WriteModule(path(), *checkpoint, config, {ModuleKind::kRandom, 1, false, draft_vocab});
    }
    if (!quantized) return;
    path_ += "/quantized";
    REQUIRE(QuantizeModel({dir_.path(), path_}, nullptr).ok());
    weights_ = path_ + "/model.gguf";
  }
  const std::string& path() const { return path_; }
  const std::string& weights() const { return weights_; }
  // Without the spaces behind colons.
  std::string Config() const {
    return std::regex_replace(ReadWholeFile(path() + "/config.json"), std::regex("\": "), "\":");
  }
  void EditConfig(const std::string& from, const std::string& to) const {
    const std::string edited = Replaced(Config(), from, to);
    std::ofstream(path() + "/config.json") << edited;
  }

 private:
  TempDir dir_;
  std::string path_;
  std::string weights_ = dir_.path() + "/model.safetensors";
};

Status LoadStatus(const FamilyPaths& paths) {
  const auto backend = MakeReferenceBackend();
  return ModelFamily::Load(paths, *backend).status();
}

}  // namespace

TEST_CASE("family: modules and drafts load beside their target", "[models]") {
  const auto backend = MakeReferenceBackend();
  const bool quantized = GENERATE(false, true);
  const Made module(false, 90, quantized), draft(true, 0, quantized);
  const auto family = ModelFamily::Load({kTarget, module.path(), draft.path()}, *backend);
  INFO(family.status().ToString());
  REQUIRE(family.ok());
  CHECK(family->recycle->head_tokens().size() == 90);
  CHECK(family->recycle->num_layers() == 1);
  CHECK(family->draft->num_layers() == 1);
  CHECK(family->draft->vocabulary().head == family->target->decoder().vocabulary().head);
  // A draft of its own, with the same tokenizer.
  CHECK(ModelFamily::Load({kTarget, "", kTarget}, *backend).ok());
}

TEST_CASE("family: what was made for another model is refused with both values", "[models]") {
  const bool is_draft = GENERATE(false, true);
  const bool quantized = GENERATE(false, true);
  const Made made(is_draft, 0, quantized);
  const auto load = [&] {
    return LoadStatus(is_draft ? FamilyPaths{kTarget, "", made.path()}
                               : FamilyPaths{kTarget, made.path(), ""});
  };
  REQUIRE(load().ok());
  SECTION("fingerprint") {
    const std::string config = made.Config();
    const std::string own = config.substr(config.find("base_sha256\":\"") + 14, 64);
    made.EditConfig(own, std::string(64, '0'));
    const Status status = load();
    CHECK(status.code() == StatusCode::kFailedPrecondition);
    CHECK_THAT(status.message(), Contains(std::string(64, '0')) && Contains(own));
  }
  SECTION("width") {
    made.EditConfig("\"hidden_size\":96", "\"hidden_size\":128");
    CHECK_THAT(load().message(), Contains("hidden size 128") && Contains("96"));
  }
  SECTION("embedding") {
    made.EditConfig(is_draft ? "\"hidden_size\"" : "\"embedding_size\":96",
                    is_draft ? "\"embedding_size\":64,\"hidden_size\"" : "\"embedding_size\":64");
    CHECK_THAT(load().message(), Contains("width 64") && Contains("96"));
  }
  SECTION("vocabulary") {
    made.EditConfig("\"vocab_size\":272", "\"vocab_size\":300");
    CHECK_THAT(load().message(), Contains("300") && Contains("272"));
  }
  SECTION("class") {
    made.EditConfig(is_draft ? "RepriseDraft" : "RepriseRecycleModule", "SomethingElse");
    CHECK(!load().ok());
  }
  SECTION("missing fingerprint") {
    made.EditConfig("base_sha256", "base_sha255");
    CHECK_THAT(load().message(), Contains("base_sha256"));
  }
  SECTION("truncated weights") {
    fs::resize_file(made.weights(), fs::file_size(made.weights()) / 2);
    CHECK(load().code() == StatusCode::kDataLoss);
    CHECK_THAT(load().message(), Contains(made.weights()));
  }
  SECTION("no weights") {
    fs::remove(made.weights());
    CHECK(load().code() == StatusCode::kNotFound);
    CHECK_THAT(load().message(), Contains("neither model.safetensors nor model.gguf"));
  }
  SECTION("weights in both forms") {
    std::ofstream(made.path() + (quantized ? "/model.safetensors" : "/model.gguf")) << "anything";
    CHECK(load().code() == StatusCode::kInvalidArgument);
    CHECK_THAT(load().message(), Contains("only one of them"));
  }
  SECTION("a weight that is no number") {
    std::string bytes = ReadWholeFile(made.weights());
    bytes.replace(bytes.size() - 4, 4, quantized ? std::string(4, '\xff') : std::string("\0\0\xc0\x7f", 4));
    std::ofstream(made.weights(), std::ios::binary) << bytes;
    CHECK(load().code() == StatusCode::kDataLoss);
    CHECK_THAT(load().message(), Contains("not a finite number") && Contains(made.path()));
  }
}

TEST_CASE("family: draft vocabularies that lie are refused", "[models]") {
  const ModelConfig config = LoadModelConfig(kTarget).value();
  const auto checkpoint = std::move(Checkpoint::Open(kTarget)).value();
  const TempDir dir;
  WriteModule(dir.path(), *checkpoint, config, {ModuleKind::kRandom, 1, false, 0});
  dir.Write("config.json", Replaced(ReadWholeFile(dir.path() + "/config.json"), "\"draft_vocab_size\":272",
                                    "\"draft_vocab_size\":4"));
  const auto load = [&] { return LoadStatus({kTarget, dir.path(), ""}); };
  CHECK_THAT(load().message(), Contains("d2t"));  // there is none
  const std::vector<std::int64_t> ids =
      GENERATE(std::vector<std::int64_t>{1, 2, 3}, std::vector<std::int64_t>{1, 2, 2, 3},
               std::vector<std::int64_t>{-1, 2, 3, 4}, std::vector<std::int64_t>{1, 2, 3, 272});
  AppendIntegers(dir.path() + "/model.safetensors", "d2t", ids);
  const Status status = load();
  CHECK(status.code() == StatusCode::kDataLoss);
  CHECK_THAT(status.message(), Contains("d2t"));
  CHECK_THAT(QuantizeModel({dir.path(), dir.path() + "/quantized"}, nullptr).status().message(),
             Contains("d2t"));
}

TEST_CASE("family: a draft needs the target's tokenizer", "[models]") {
  const Status status = LoadStatus({kTarget, "", kOther});
  CHECK(status.code() == StatusCode::kFailedPrecondition);
  CHECK_THAT(status.message(), Contains("tokenizer"));
}

TEST_CASE("family.json names the parts by relative path; flags win over it", "[models]") {
  const TempDir dir;
  dir.Write("family.json", "{\"target\": \"base\", \"recycle\": \"module/\", \"draft\": \"../other\"}");
  const FamilyPaths found = ResolveFamily({dir.path(), "", "/elsewhere"}).value();
  CHECK(found.target == dir.path() + "/base");
  CHECK(found.recycle == dir.path() + "/module/");
  CHECK(found.draft == "/elsewhere");
  CHECK(ResolveFamily({kTarget, "", ""})->target == kTarget);
  dir.Write("family.json", "{\"recycle\": \"module\"}");
  CHECK_THAT(ResolveFamily({dir.path(), "", ""}).status().message(), Contains("target"));
  dir.Write("family.json", "{\"target\": 3}");
  CHECK_THAT(ResolveFamily({dir.path(), "", ""}).status().message(), Contains("target"));
  dir.Write("family.json", "{");
  CHECK(!ResolveFamily({dir.path(), "", ""}).ok());
}

TEST_CASE("SHA-256 of the standard's examples", "[base]") {
  const auto digest = [](const std::string& text) {
    Sha256 hash;
    // In two pieces: the state carries over.
    hash.Update(std::as_bytes(std::span(text.data(), text.size() / 3)));
    hash.Update(std::as_bytes(std::span(text.data() + text.size() / 3, text.size() - text.size() / 3)));
    return hash.HexDigest();
  };
  CHECK(digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(digest(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

}  // namespace reprise
