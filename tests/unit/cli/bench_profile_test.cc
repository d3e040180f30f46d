// reprise bench --profile: the account of a step adds up to what the model is made of.
#include "cli/bench_profile.h"

#include "tests/unit/engine/engine_fixture.h"

namespace reprise {
namespace {

const OpProfile& Find(const std::vector<OpProfile>& ops, const std::string& name) {
  const auto found = std::ranges::find_if(ops, [&](const OpProfile& op) { return op.op == name; });
  REQUIRE(found != ops.end());
  return *found;
}

TEST_CASE("profile: a decoding step reads every weight and the visible cache once", "[cli]") {
  const std::string path = "tests/data/models/smollm2";
  ProfilingBackend backend(AvailableCpuIsas().empty() ? MakeReferenceBackend()
                                                      : std::move(MakeCpuBackend({2, ""})).value());
  const ModelConfig config = LoadModelConfig(path).value();
  const auto checkpoint = std::move(Checkpoint::Open(path)).value();
  const auto decoder = std::move(Decoder::Load(*checkpoint, config, backend, config.max_position)).value();
  EngineOptions options;
  options.kv_type = KvType::kInt8;
  const auto core = std::move(EngineCore::Create(backend, *decoder, options)).value();
  constexpr int kPrompt = 20;
  const auto request = MakeTestRequest(1, std::vector<TokenId>(kPrompt, 7), 8);
  REQUIRE(core->Add(request, std::make_shared<TokenStream>(request)).ok());
  REQUIRE(core->Step(nullptr).ok());
  backend.Take();
  REQUIRE(core->Step(nullptr).ok());  // of one token
  const std::vector<OpProfile> ops = backend.Take();

  // Columns that a row of activations has on the way in and out of a layer's products; sums that are added to
  // are read, too.
  const std::int64_t queries = std::int64_t{config.num_heads} * config.head_dim;
  const std::int64_t qkv = queries + 2 * config.num_kv_heads * config.head_dim;
  const std::int64_t width = config.hidden_size;
  const std::int64_t inner = 2 * config.intermediate_size;
  const std::int64_t layer = (width + qkv) + (queries + 2 * width) + (width + inner) + (inner + 2 * width);
  const std::int64_t activations = 4 * (config.num_layers * layer + width + config.vocab_size);
  std::int64_t bytes = 0;
  std::int64_t calls = 0;
  std::int64_t operations = 0;
  for (const OpProfile& op : ops) {
    if (!op.op.starts_with("matmul")) continue;
    bytes += op.bytes;
    calls += op.calls;
    operations += op.operations;
  }
  CHECK(calls == 4 * config.num_layers + 1);
  CHECK(bytes - activations == static_cast<std::int64_t>(decoder->weight_bytes()));
  CHECK(operations > decoder->num_parameters());  // two for each but the norms'

  const OpProfile& attention = Find(ops, "attention");
  CHECK(attention.calls == config.num_layers);
  const std::int64_t seen = std::int64_t{2} * (kPrompt + 1) * config.num_kv_heads * (config.head_dim + 4);
  CHECK(attention.bytes == config.num_layers * (seen + 4 * 2 * queries));
  CHECK(attention.operations == config.num_layers * 4 * (kPrompt + 1) * queries);
  for (const OpProfile& op : ops) CHECK(op.seconds >= 0);
  CHECK(backend.Take().empty());
}

TEST_CASE("profile: the reader of weights reads those of a step, each once", "[cli]") {
  // A tied model reads its embedding as the head; an untied one reads single rows of it.
  for (const std::string name : {"smollm2", "llama3"}) {
    INFO(name);
    const std::string path = "tests/data/models/" + name;
    ProfilingBackend backend(MakeReferenceBackend());
    const ModelConfig config = LoadModelConfig(path).value();
    const auto checkpoint = std::move(Checkpoint::Open(path)).value();
    const auto decoder = std::move(Decoder::Load(*checkpoint, config, backend, config.max_position)).value();
    const std::size_t embedding = config.tie_embeddings ? 0 : decoder->vocabulary().embedding->bytes();
    WeightReader reader(backend, decoder->step_weights());
    CHECK(reader.bytes() == decoder->weight_bytes() - embedding);
    CHECK(reader.Measure() > 0);
  }
}

TEST_CASE("profile: like operations are added up, the rest is what the steps took beside them", "[cli]") {
  std::vector<OpProfile> ops;
  MergeProfile({{"attention", 2, 0.25, 1'000'000'000, 4'000'000'000}, {"norm", 1, 0.125, 8, 0}}, &ops);
  MergeProfile({{"attention", 2, 0.25, 1'000'000'000, 4'000'000'000}}, &ops);
  REQUIRE(ops.size() == 2);
  const Roofline roofline{8e9, {1e12, 64e9, 32e9}};
  CHECK(roofline.Seconds(ops[0]) == 0.25);  // 2 GB at 8 GB/s; 8 GFLOP at 32 GFLOP/s
  CHECK(roofline.Seconds(ops[1]) == 0);
  CHECK(roofline.Seconds({"matmul", 1, 1, 8, 4'000'000'000, &PeakRates::bf16}) == 0.0625);
  const std::string table = ProfileTable("decoding", ops, 2, 1.0, roofline);
  INFO(table);
  CHECK_THAT(table, Catch::Contains("2 steps of 500.000 ms"));
  CHECK_THAT(table,
             Catch::Matches("(.|\n)*attention +2\\.0 +250000\\.0 +50 % +4\\.0 +16\\.0 +50 %\n(.|\n)*"));
  CHECK_THAT(table, Catch::Matches("(.|\n)*outside of operations +187500\\.0 +38 %\n"));
  CHECK_THAT(ProfileJson("decoding", ops, 2, 1.0, roofline), Catch::Contains("\"of_roofline\": 0.500"));
}

TEST_CASE("profile: every leg knows its peaks", "[cli]") {
  for (const std::string& isa : AvailableCpuIsas()) {
    INFO(isa);
    const PeakRates peaks = std::move(MakeCpuBackend({1, isa})).value()->MeasurePeaks();
    CHECK(peaks.integers > 0);
    CHECK(peaks.bf16 > 0);
    CHECK(peaks.floats > 0);
  }
}

}  // namespace
}  // namespace reprise
