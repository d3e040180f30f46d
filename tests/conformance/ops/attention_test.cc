// Attention and the paged cache on every leg: the reference within a derived bound, the same bits whatever
// the chunks, batch, block table and threads, and no use of memory that holds no token.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <string>

#include "tests/conformance/ops/kv_scene.h"
#include "tests/conformance/ops/legs.h"
#include "tests/conformance/ops/op_data.h"

namespace reprise::test {
namespace {

using Schedule = std::vector<Step>;

SceneOutput RunScene(Backend* backend, const SceneShape& shape, int num_sequences, const Schedule& schedule,
                     std::uint64_t table_seed = 1) {
  KvScene scene(backend, shape, num_sequences, table_seed);
  for (const Step& step : schedule) scene.Run(step);
  return scene.output();
}

std::string Name(KvType type) {
  return type == KvType::kF32 ? "f32" : type == KvType::kBF16 ? "bf16" : "int8";
}

std::string Describe(const SceneShape& shape) {
  return std::to_string(shape.num_heads) + "/" + std::to_string(shape.num_kv_heads) + " heads of " +
         std::to_string(shape.head_dim) + " " + Name(shape.type) + ", blocks of " +
         std::to_string(shape.block_size) + ", window " + std::to_string(shape.sliding_window) +
         (shape.head_norm ? ", head norm" : "");
}

// Prefill in one go, in odd chunks, one by one; decode beside prefill; lengths beyond two partitions.
Schedule MixedSchedule() {
  Schedule schedule = {{{0, 40}, {1, 5}}, {{0, 1}, {1, 300}}, {{1, 1}, {0, 7}, {2, 1}}, {{2, 600}}};
  for (int i = 0; i < 6; ++i) schedule.push_back({{0, 1}, {1, 1}, {2, 1}});
  schedule.push_back({{2, 3}, {0, 2}});
  return schedule;
}

TEST_CASE("attention is close to the reference") {
  for (const SceneShape& shape : AttentionShapes()) {
    const SceneOutput expected = RunScene(MakeReferenceBackend().get(), shape, 3, MixedSchedule());
    for (Leg& leg : AttentionLegs()) {
      INFO(leg.name << ": " << Describe(shape));
      const SceneOutput got = RunScene(leg.backend.get(), shape, 3, MixedSchedule());
      // A convex combination of values, |v| <= 2: weights are off by their exponentials' and the sums'
      // rounding. With a norm the queries and keys themselves are, too, and so is what the cache rounds them
      // to.
      const double rounded = shape.type == KvType::kF32 ? 1e-5 : 0.02 * std::sqrt(shape.head_dim);
      const double scores = shape.head_norm ? rounded : 0;
      // With int8 keys and values, queries and weights may be rounded to 16 bits: a score of numbers below
      // 2 sqrt(2) is off by half a step of the query in every dimension, and each weight of a partition by
      // half a step of the largest, which is at least as much of their sum.
      const double sixteen_bits =
          shape.type == KvType::kInt8 ? (8.0 * std::sqrt(shape.head_dim) + 256) / 65534 : 0;
      const double bound =
          2.0 * (2.0 * KvScene::kMaxPositions * std::ldexp(1.0, -24) + scores + sixteen_bits);
      double worst = 0.0;
      for (int s = 0; s < 3; ++s) {
        REQUIRE(got[s].size() == expected[s].size());
        for (std::size_t i = 0; i < got[s].size(); ++i) {
          const double difference = std::fabs(static_cast<double>(got[s][i]) - expected[s][i]);
          if (!(difference <= worst)) worst = difference;  // NaN sticks
        }
      }
      CHECK(worst <= bound);
    }
  }
}

TEST_CASE("all legs give the same attention bits") {
  for (const SceneShape& shape : AttentionShapes()) {
    std::vector<Leg> legs = AttentionLegs();
    if (legs.size() == 1) return;
    const SceneOutput first = RunScene(legs[0].backend.get(), shape, 3, MixedSchedule());
    for (std::size_t i = 1; i < legs.size(); ++i) {
      INFO(legs[i].name << " and " << legs[0].name << ": " << Describe(shape));
      const SceneOutput other = RunScene(legs[i].backend.get(), shape, 3, MixedSchedule());
      for (int s = 0; s < 3; ++s) CHECK(FirstDifference(other[s], first[s]) == -1);
    }
  }
}

TEST_CASE("chunks, batch, block table and threads change no bit") {
  constexpr int kTokens = 540;  // beyond two partitions
  Schedule whole = {{{0, kTokens}}};
  Schedule one_by_one;
  for (int i = 0; i < kTokens; ++i) one_by_one.push_back({{0, 1}});
  Schedule chunked;  // beside other sequences
  for (int left = kTokens, n = 1; left > 0; left -= n, n = 1 + (n * 5 + 3) % 97) {
    n = std::min(n, left);
    chunked.push_back({{1, 1}, {0, n}, {2, 2}});
  }
  for (const SceneShape& shape : AttentionShapes()) {
    for (int threads : ThreadCounts()) {
      std::vector<Leg> legs = AttentionLegs(threads);
      for (Leg& leg : legs) {
        if (leg.name == "amx-emulated") continue;  // the code of avx512-vnni
        INFO(leg.name << ", threads " << threads << ": " << Describe(shape));
        Backend* backend = leg.backend.get();
        const std::vector<float> expected = RunScene(legs[0].backend.get(), shape, 1, whole)[0];
        CHECK(FirstDifference(RunScene(backend, shape, 3, chunked, 9)[0], expected) == -1);
        if (threads == 3 && shape.num_heads == 6)
          CHECK(FirstDifference(RunScene(backend, shape, 1, one_by_one, 5)[0], expected) == -1);
      }
    }
  }
}

template <typename T>
double Largest(const T* x, int n) {
  double largest = 0;
  for (int i = 0; i < n; ++i) largest = std::max(largest, std::fabs(static_cast<double>(x[i])));
  return largest;
}

// How far the cache may hold x off; `step` is that of int8 for its head.
double StorageError(KvType type, double x, double step) {
  if (type == KvType::kInt8) return step * (0.5 + 127 * 3 * std::ldexp(1.0, -24));
  return std::fabs(x) * std::ldexp(1.0, type == KvType::kBF16 ? -8 : -23);
}

TEST_CASE("rotated keys and raw values are what the cache holds") {
  std::vector<Leg> legs = AttentionLegs();
  legs.push_back({"reference", MakeReferenceBackend()});
  for (Leg& leg : legs) {
    for (const SceneShape& shape : AttentionShapes()) {
      INFO(leg.name << ": " << Describe(shape));
      KvScene scene(leg.backend.get(), shape, 2, 3);
      scene.Run({{1, 21}, {0, 3}});
      std::vector<int> slots;
      for (int p = 0; p < 21; ++p) slots.push_back(scene.SlotOf(1, p));
      std::vector<float> keys, values;
      leg.backend->ReadKvSlots(slots, scene.kv(), &keys, &values);
      const int dim = shape.head_dim;
      REQUIRE(keys.size() == 21u * shape.num_kv_heads * dim);
      // Products of numbers up to 4 cancel in a rotation; the cache may round the result.
      const double cancellation = 8 * std::ldexp(1.0, -23);
      int wrong = 0;
      for (int p = 0; p < 21; ++p) {
        const std::vector<float> row = scene.Qkv(1, p);
        for (int h = 0; h < shape.num_kv_heads; ++h) {
          const std::vector<double> key = scene.ExactKey(1, p, h);
          const float* value = row.data() + (shape.num_heads + shape.num_kv_heads + h) * dim;
          const double key_step = Largest(key.data(), dim) / 127;
          const double value_step = Largest(value, dim) / 127;
          for (int d = 0; d < dim; ++d) {
            const std::size_t i = (static_cast<std::size_t>(p) * shape.num_kv_heads + h) * dim + d;
            const double key_error = StorageError(shape.type, key[d], key_step) + cancellation;
            if (!(std::fabs(keys[i] - key[d]) <= key_error)) ++wrong;
            if (!(std::fabs(values[i] - value[d]) <= StorageError(shape.type, value[d], value_step))) ++wrong;
          }
        }
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("copied slots read the same and leave the rest alone") {
  const KvType type = GENERATE(KvType::kF32, KvType::kBF16, KvType::kInt8);
  std::vector<Leg> legs = AttentionLegs();
  legs.push_back({"reference", MakeReferenceBackend()});
  for (Leg& leg : legs) {
    if (!leg.backend->CheckKvType(type).ok()) continue;
    INFO(leg.name << ", " << Name(type));
    SceneShape shape;
    shape.type = type;
    KvScene scene(leg.backend.get(), shape, 2, 3);
    scene.Run({{0, 40}, {1, 40}});
    const std::vector<int> source = {scene.SlotOf(0, 3), scene.SlotOf(0, 17), scene.SlotOf(0, 39)};
    const std::vector<int> target = {scene.SlotOf(1, 30), scene.SlotOf(1, 2), scene.SlotOf(1, 16)};
    const std::vector<int> others = {scene.SlotOf(1, 29), scene.SlotOf(1, 31), scene.SlotOf(1, 15)};
    std::vector<float> keys, values, copied_keys, copied_values, other_keys, other_values, after_keys,
        after_values;
    leg.backend->ReadKvSlots(source, scene.kv(), &keys, &values);
    leg.backend->ReadKvSlots(others, scene.kv(), &other_keys, &other_values);
    leg.backend->CopyKvSlots(source, target, scene.kv());
    leg.backend->ReadKvSlots(target, scene.kv(), &copied_keys, &copied_values);
    leg.backend->ReadKvSlots(others, scene.kv(), &after_keys, &after_values);
    CHECK(FirstDifference(copied_keys, keys) == -1);
    CHECK(FirstDifference(copied_values, values) == -1);
    CHECK(FirstDifference(after_keys, other_keys) == -1);
    CHECK(FirstDifference(after_values, other_values) == -1);
  }
}

}  // namespace
}  // namespace reprise::test
