#include "models/tokenizer/pre_tokenizer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "models/tokenizer/byte_level.h"

namespace reprise::tokenizer {
namespace {

constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// A stretch of a piece: a delimiter or what lies between two.
struct Part {
  Span span;
  bool delimiter = false;
};

std::vector<Part> CutAtMatches(const std::vector<Span>& matches, std::size_t size, bool invert) {
  std::vector<Part> parts;
  parts.reserve(matches.size() * 2 + 1);
  std::size_t end = 0;
  for (const Span& match : matches) {
    if (match.begin != end) parts.push_back({{end, match.begin}, invert});
    parts.push_back({match, !invert});
    end = match.end;
  }
  if (end != size) parts.push_back({{end, size}, invert});
  return parts;
}

// Joins a part to the previous one where `joins` says so.
template <typename Joins>
std::vector<Part> JoinParts(const std::vector<Part>& parts, const Joins& joins) {
  std::vector<Part> joined;
  bool previous_delimiter = false;
  for (const Part& part : parts) {
    if (!joined.empty() && joins(previous_delimiter, part.delimiter)) {
      joined.back().span.end = part.span.end;
    } else {
      joined.push_back({part.span, false});
    }
    previous_delimiter = part.delimiter;
  }
  return joined;
}

// Of a run of delimiters, only the last joins what follows: the mirror image of kMergedWithPrevious.
std::vector<Part> JoinWithNext(const std::vector<Part>& parts) {
  std::vector<Part> joined;
  bool next_delimiter = false;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (!joined.empty() && part->delimiter && !next_delimiter) {
      joined.back().span.begin = part->span.begin;
    } else {
      joined.push_back({part->span, false});
    }
    next_delimiter = part->delimiter;
  }
  std::reverse(joined.begin(), joined.end());
  return joined;
}

std::vector<Part> ApplyBehavior(std::vector<Part> parts, SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::kRemoved:
      std::erase_if(parts, [](const Part& part) { return part.delimiter; });
      return parts;
    case SplitBehavior::kIsolated:
      return parts;
    case SplitBehavior::kMergedWithPrevious:
      return JoinParts(parts, [](bool previous, bool current) { return current && !previous; });
    case SplitBehavior::kMergedWithNext:
      return JoinWithNext(parts);
    case SplitBehavior::kContiguous:
      return JoinParts(parts, [](bool previous, bool current) { return current == previous; });
  }
  return parts;
}

class Split final : public PreTokenizer {
 public:
  Split(Regex pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  Status Apply(Pieces* pieces) const override {
    std::vector<Span> spans;
    std::vector<Span> matches;
    spans.reserve(pieces->spans.size());
    for (const Span& piece : pieces->spans) {
      matches.clear();
      RETURN_IF_ERROR(pattern_.FindAll(piece.Of(pieces->text), &matches));
      for (const Part& part :
           ApplyBehavior(CutAtMatches(matches, piece.end - piece.begin, invert_), behavior_)) {
        if (!part.span.empty()) spans.push_back({piece.begin + part.span.begin, piece.begin + part.span.end});
      }
    }
    pieces->spans = std::move(spans);
    return OkStatus();
  }

 private:
  Regex pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

// Rewrites each piece: append(piece, out) adds its new text. Pieces stay one to one.
template <typename Append>
void RewritePieces(const Append& append, Pieces* pieces) {
  std::string text;
  text.reserve(pieces->text.size() * 2);
  for (Span& piece : pieces->spans) {
    const std::size_t begin = text.size();
    append(piece, &text);
    piece = {begin, text.size()};
  }
  pieces->text = std::move(text);
}

class ByteLevel final : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, std::unique_ptr<PreTokenizer> split)
      : add_prefix_space_(add_prefix_space), split_(std::move(split)) {}

  Status Apply(Pieces* pieces) const override {
    if (add_prefix_space_) {
      RewritePieces(
          [&](const Span& piece, std::string* out) {
            const std::string_view text = piece.Of(pieces->text);
            if (!text.starts_with(' ')) *out += ' ';
            *out += text;
          },
          pieces);
    }
    if (split_ != nullptr) RETURN_IF_ERROR(split_->Apply(pieces));
    RewritePieces([&](const Span& piece, std::string* out) { AppendByteLevel(piece.Of(pieces->text), out); },
                  pieces);
    return OkStatus();
  }

 private:
  bool add_prefix_space_;
  std::unique_ptr<PreTokenizer> split_;  // nullptr: pieces stay whole
};

class Metaspace final : public PreTokenizer {
 public:
  Metaspace(std::string replacement, PrependScheme scheme, bool split)
      : replacement_(std::move(replacement)), scheme_(scheme), split_(split) {}

  Status Apply(Pieces* pieces) const override {
    RewritePieces([&](const Span& piece, std::string* out) { AppendPiece(*pieces, piece, out); }, pieces);
    if (!split_) return OkStatus();
    std::vector<Span> spans;
    for (const Span& piece : pieces->spans) AppendWords(pieces->text, piece, &spans);
    pieces->spans = std::move(spans);
    return OkStatus();
  }

 private:
  void AppendPiece(const Pieces& pieces, const Span& piece, std::string* out) const {
    const std::string_view text = piece.Of(pieces.text);
    const bool first = pieces.at_text_start && piece.begin == 0;
    const bool prepend = scheme_ == PrependScheme::kAlways || (scheme_ == PrependScheme::kFirst && first);
    if (prepend && !text.starts_with(' ') && !text.starts_with(replacement_)) *out += replacement_;
    for (const char c : text) {
      if (c == ' ') {
        *out += replacement_;
      } else {
        *out += c;
      }
    }
  }

  // A word is a replacement character and what follows it.
  void AppendWords(std::string_view text, const Span& piece, std::vector<Span>* spans) const {
    for (std::size_t begin = piece.begin; begin < piece.end;) {
      const std::size_t from =
          text.substr(begin).starts_with(replacement_) ? begin + replacement_.size() : begin;
      const std::size_t end = std::min(text.find(replacement_, from), piece.end);
      spans->push_back({begin, end});
      begin = end;
    }
  }

  std::string replacement_;
  PrependScheme scheme_;
  bool split_;
};

}  // namespace

std::unique_ptr<PreTokenizer> MakeSplit(Regex pattern, SplitBehavior behavior, bool invert) {
  return std::make_unique<Split>(std::move(pattern), behavior, invert);
}

Result<std::unique_ptr<PreTokenizer>> MakeByteLevelPreTokenizer(bool add_prefix_space, bool use_regex) {
  std::unique_ptr<PreTokenizer> split;
  if (use_regex) {
    ASSIGN_OR_RETURN(Regex pattern, Regex::Compile(kGpt2Pattern));
    split = MakeSplit(std::move(pattern), SplitBehavior::kIsolated, false);
  }
  return std::unique_ptr<PreTokenizer>(std::make_unique<ByteLevel>(add_prefix_space, std::move(split)));
}

std::unique_ptr<PreTokenizer> MakeMetaspace(std::string replacement, PrependScheme scheme, bool split) {
  return std::make_unique<Metaspace>(std::move(replacement), scheme, split);
}

}  // namespace reprise::tokenizer
