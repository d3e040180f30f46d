#include "models/tokenizer/regex.h"

#include <oniguruma.h>

#include <mutex>

#include "base/check.h"
#include "base/utf8.h"
#include "models/formats/quoted.h"

namespace reprise::tokenizer {
namespace {

constexpr std::size_t kMaxPatternBytes = 64 * 1024;
// Backtracking steps in one search. A run of n characters costs the usual patterns a few times n, those with
// an anchor n^2 / 2; at some 10^8 steps a second this bounds a search to a fraction of a second.
constexpr unsigned long kMaxBacktracks = 20'000'000;
constexpr unsigned long kMaxBacktracksPerByte = 32;
// One entry for each character of a run; bounds the memory of a search to some 200 MB.
constexpr unsigned int kMaxStackEntries = 4'000'000;

const OnigUChar* Bytes(const char* text) {
  return reinterpret_cast<const OnigUChar*>(text);
}

void InitializeOnce() {
  static std::once_flag once;
  std::call_once(once, [] {
    OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
    REPRISE_CHECK(onig_initialize(encodings, 1) == ONIG_NORMAL);
  });
}

std::string ErrorMessage(int code, OnigErrorInfo* info) {
  OnigUChar buffer[ONIG_MAX_ERROR_MESSAGE_LEN];
  const int length = onig_error_code_to_str(buffer, code, info);
  return std::string(reinterpret_cast<const char*>(buffer), static_cast<std::size_t>(length));
}

// What a search needs besides the pattern; one for each thread, as allocating it costs more than a match.
class SearchState {
 public:
  SearchState() : region_(onig_region_new()), parameters_(onig_new_match_param()) {
    REPRISE_CHECK(region_ != nullptr && parameters_ != nullptr);
    onig_initialize_match_param(parameters_);
    onig_set_match_stack_limit_size_of_match_param(parameters_, kMaxStackEntries);
  }
  ~SearchState() {
    onig_region_free(region_, 1);
    onig_free_match_param(parameters_);
  }
  SearchState(const SearchState&) = delete;
  SearchState& operator=(const SearchState&) = delete;

  void SetBacktrackLimit(std::size_t text_size) {
    const unsigned long limit = kMaxBacktracks + kMaxBacktracksPerByte * text_size;
    onig_set_retry_limit_in_match_of_match_param(parameters_, limit);
    onig_set_retry_limit_in_search_of_match_param(parameters_, limit);
  }

  // The first match at or after `from`, or a negative code of Oniguruma's.
  int Search(re_pattern_buffer* regex, std::string_view text, std::size_t from, Span* match) {
    const OnigUChar* begin = Bytes(text.data());
    const OnigUChar* end = begin + text.size();
    const int code =
        onig_search_with_param(regex, begin, end, begin + from, end, region_, ONIG_OPTION_NONE, parameters_);
    if (code >= 0)
      *match = {static_cast<std::size_t>(region_->beg[0]), static_cast<std::size_t>(region_->end[0])};
    return code;
  }

 private:
  OnigRegion* region_;
  OnigMatchParam* parameters_;
};

}  // namespace

void Regex::Deleter::operator()(re_pattern_buffer* regex) const {
  onig_free(regex);
}

Result<Regex> Regex::Compile(std::string_view pattern) {
  if (pattern.size() > kMaxPatternBytes) {
    return DataLoss("a pattern has " + std::to_string(pattern.size()) + " bytes; at most " +
                    std::to_string(kMaxPatternBytes) + " are allowed");
  }
  InitializeOnce();
  OnigRegex regex = nullptr;
  OnigErrorInfo info;
  const int code = onig_new(&regex, Bytes(pattern.data()), Bytes(pattern.data() + pattern.size()),
                            ONIG_OPTION_NONE, ONIG_ENCODING_UTF8, ONIG_SYNTAX_DEFAULT, &info);
  if (code != ONIG_NORMAL) {
    return DataLoss("the pattern " + Quoted(pattern) + " does not compile: " + ErrorMessage(code, &info));
  }
  return Regex(regex);
}

Result<Regex> Regex::CompileLiteral(std::string_view text) {
  std::string pattern;
  for (const char c : text) {
    if (std::string_view("\\.*+?()[]{}^$|").find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  return Compile(pattern);
}

Status Regex::FindAll(std::string_view text, std::vector<Span>* matches) const {
  thread_local SearchState state;
  state.SetBacktrackLimit(text.size());
  std::size_t from = 0;
  std::size_t previous_end = std::string_view::npos;
  while (from <= text.size()) {
    Span match;
    const int code = state.Search(regex_.get(), text, from, &match);
    if (code == ONIG_MISMATCH) break;
    if (code < 0) {
      return InvalidArgument("the text cannot be tokenized: the tokenizer's pattern gives up after byte " +
                             std::to_string(from) + " (" + ErrorMessage(code, nullptr) + ")");
    }
    from = match.end;
    if (match.empty() && match.end == previous_end) {
      if (from == text.size()) break;
      DecodeUtf8(text, &from);  // step over one character and look again
      continue;
    }
    previous_end = match.end;
    matches->push_back(match);
  }
  return OkStatus();
}

}  // namespace reprise::tokenizer
