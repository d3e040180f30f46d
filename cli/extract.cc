// reprise extract: final hidden states of the served weights, for training recycle modules.
//
// DIR holds hidden-00000.safetensors and so on, each with one tensor `hidden` [rows, D], BF16 or F32: what
// the head reads, after the final norm. Sequences follow each other, none lies in two files, and row t of a
// sequence is the state after its token t. sequences.jsonl has a line for each, in the same order:
// {"answer_start": rows before what the model itself wrote, "tokens": [ids]}.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "base/float_types.h"
#include "base/mapped_file.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/hidden_states.h"
#include "cli/session.h"
#include "models/formats/tensor_writer.h"
#include "models/formats/token_sequences.h"

namespace reprise {
namespace {

constexpr std::size_t kShardBytes = std::size_t{128} << 20;

struct ExtractFlags {
  ModelFlags model;
  std::string text;
  std::string tokens;
  std::string out;
  std::string type = "bf16";
  int context = 1024;
};

// The text in windows of `context` tokens, or the file's sequences, cut to `context`.
Result<std::vector<TokenSequence>> ReadInput(const ExtractFlags& flags, const Model& model, int context) {
  if (!flags.tokens.empty()) {
    ASSIGN_OR_RETURN(std::vector<TokenSequence> sequences,
                     ReadTokenSequences(flags.tokens, model.config().vocab_size));
    for (TokenSequence& sequence : sequences) {
      sequence.tokens.resize(std::min(sequence.tokens.size(), static_cast<std::size_t>(context)));
      sequence.answer_start = std::min(sequence.answer_start, static_cast<int>(sequence.tokens.size()));
    }
    return sequences;
  }
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(flags.text));
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  auto tokens = model.tokenizer().Encode(text);
  if (!tokens.ok()) return Status(tokens.status().code(), flags.text + ": " + tokens.status().message());
  std::vector<TokenSequence> windows;
  for (auto at = tokens->begin(); at != tokens->end();) {
    const auto end = at + std::min<std::ptrdiff_t>(context, tokens->end() - at);
    windows.push_back({{at, end}, 0});
    at = end;
  }
  return windows;
}

// Collects rows and writes them out, a file whenever one is full.
class ShardWriter {
 public:
  ShardWriter(std::filesystem::path folder, int width, bool bf16)
      : folder_(std::move(folder)),
        sequences_(folder_ / "sequences.jsonl"),
        width_(width),
        type_(bf16 ? WeightType::kBF16 : WeightType::kF32) {}

  // `hidden` is [tokens, width].
  Status Add(const TokenSequence& sequence, std::span<const float> hidden) {
    sequences_ << "{\"answer_start\": " << sequence.answer_start << ", \"tokens\": [";
    for (std::size_t i = 0; i < sequence.tokens.size(); ++i)
      sequences_ << (i > 0 ? ", " : "") << sequence.tokens[i];
    sequences_ << "]}\n";
    if (type_ == WeightType::kBF16) {
      for (const float value : hidden) Append(FloatToBf16(value));
    } else {
      for (const float value : hidden) Append(value);
    }
    return rows_.size() >= kShardBytes ? Flush() : OkStatus();
  }

  Status Finish() {
    if (!rows_.empty()) RETURN_IF_ERROR(Flush());
    sequences_.close();
    return sequences_ ? OkStatus()
                      : ResourceExhausted("cannot write " + (folder_ / "sequences.jsonl").string());
  }

 private:
  template <typename T>
  void Append(T value) {
    const auto bytes = std::as_bytes(std::span(&value, 1));
    rows_.insert(rows_.end(), bytes.begin(), bytes.end());
  }

  Status Flush() {
    char name[32];
    std::snprintf(name, sizeof(name), "hidden-%05d.safetensors", num_shards_++);
    const std::size_t row_bytes = *WeightBytes(type_, width_);
    const TensorSpec hidden{"hidden", type_, {static_cast<std::int64_t>(rows_.size() / row_bytes), width_}};
    ASSIGN_OR_RETURN(const auto file,
                     TensorWriter::CreateSafetensors((folder_ / name).string(), std::span(&hidden, 1), {}));
    RETURN_IF_ERROR(file->Write(hidden.name, 0, rows_));
    rows_.clear();
    return file->Finish();
  }

  std::filesystem::path folder_;
  std::ofstream sequences_;
  int width_;
  WeightType type_;
  int num_shards_ = 0;
  std::vector<std::byte> rows_;
};

// One line, rewritten; at most ten times a second.
class Progress {
 public:
  explicit Progress(std::size_t total) : total_(total) {}

  void Add(std::size_t tokens) {
    done_ += tokens;
    const TimePoint now = Clock::now();
    if (done_ < total_ && now - shown_ < std::chrono::milliseconds(100)) return;
    shown_ = now;
    const double seconds = std::chrono::duration<double>(now - start_).count();
    const double speed = static_cast<double>(done_) / std::max(seconds, 1e-9);
    std::fprintf(stderr, "\r%zu of %zu tokens, %.0f tokens/s, %.0f s left  ", done_, total_, speed,
                 static_cast<double>(total_ - done_) / speed);
    if (done_ == total_) std::fprintf(stderr, "\n");
  }

 private:
  std::size_t total_, done_ = 0;
  TimePoint start_ = Clock::now(), shown_;
};

Status ExtractAll(std::span<const TokenSequence> sequences, HiddenStates* states, ShardWriter* writer) {
  std::vector<std::span<const TokenId>> ids;
  std::size_t total = 0;
  for (const TokenSequence& sequence : sequences) {
    ids.emplace_back(sequence.tokens);
    total += sequence.tokens.size();
  }
  Progress progress(total);
  for (std::size_t next = 0; next < ids.size();) {
    const auto step = std::span(ids).subspan(next).first(states->Fitting(std::span(ids).subspan(next)));
    ASSIGN_OR_RETURN(std::span<const float> hidden, states->Compute(step));
    const std::size_t step_start = next;
    std::size_t tokens = 0;
    for (const auto& sequence : step) tokens += sequence.size();
    const std::size_t width = hidden.size() / tokens;
    for (; next < step_start + step.size(); ++next) {
      const std::size_t values = ids[next].size() * width;
      RETURN_IF_ERROR(writer->Add(sequences[next], hidden.first(values)));
      hidden = hidden.subspan(values);
    }
    progress.Add(tokens);
  }
  return writer->Finish();
}

Status Extract(const ExtractFlags& flags) {
  namespace fs = std::filesystem;
  const fs::path out = fs::path(flags.out).lexically_normal();
  std::error_code error;
  if (fs::exists(out, error))
    return InvalidArgument(flags.out + " exists already; choose another --out, or remove it");
  ASSIGN_OR_RETURN(const LoadedModel loaded, LoadModel(flags.model));
  const int context = std::min(flags.context, loaded.model().config().max_position);
  ASSIGN_OR_RETURN(const std::vector<TokenSequence> sequences, ReadInput(flags, loaded.model(), context));
  ASSIGN_OR_RETURN(HiddenStates states,
                   HiddenStates::Create(*loaded.backend, loaded.model().decoder(), std::max(context, 512)));
  fs::path partial = out;
  partial += ".partial";
  fs::remove_all(partial, error);
  if (!fs::create_directories(partial, error))
    return FailedPrecondition("cannot create " + partial.string() + ": " + error.message());
  ShardWriter writer(partial, loaded.model().config().hidden_size, flags.type == "bf16");
  Status status = ExtractAll(sequences, &states, &writer);
  if (status.ok()) {
    fs::rename(partial, out, error);
    if (error) status = FailedPrecondition("cannot create " + flags.out + ": " + error.message());
  }
  if (!status.ok()) fs::remove_all(partial, error);
  return status;
}

}  // namespace

int RunExtract(const std::vector<std::string>& arguments) {
  ExtractFlags values;
  Flags flags("reprise extract", "Write a model's final hidden states, to train recycle modules on");
  values.model.Declare(&flags);
  flags.Text("text", "FILE", "UTF-8 text, cut into windows of --context tokens", &values.text);
  flags.Text("tokens", "FILE.jsonl", "Instead of text: {\"prompt\": [ids], \"answer\": [ids]} a line",
             &values.tokens);
  flags.Text("out", "DIR", "Directory to create", &values.out);
  flags.Choice("dtype", "Element type of the hidden states", &values.type, {"bf16", "f32"});
  flags.Integer("context", "Longest sequence in tokens; what is longer is cut", &values.context, 2, 1 << 16);
  int exit_code = kExitOk;
  if (!ParseFlags(&flags, arguments, &exit_code)) return exit_code;
  if (values.out.empty() || values.text.empty() == values.tokens.empty()) {
    std::fprintf(
        stderr, "reprise: %s\n",
        values.out.empty() ? "--out is missing" : "give exactly one of --text FILE and --tokens FILE.jsonl");
    return kExitUsage;
  }
  const Status status = Extract(values);
  return status.ok() ? kExitOk : ReportFailure(status);
}

}  // namespace reprise
