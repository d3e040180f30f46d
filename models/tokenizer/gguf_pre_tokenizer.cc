#include "models/tokenizer/gguf_pre_tokenizer.h"

#include <array>
#include <span>
#include <string>
#include <vector>

#include "models/formats/quoted.h"

namespace reprise::tokenizer {
namespace {

constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDigit = R"(\p{N})";
constexpr std::string_view kUpToThreeDigits = R"(\p{N}{1,3})";
constexpr std::string_view kThreeAsciiDigits = "[0-9][0-9][0-9]";

// The patterns of the models' own tokenizer.json files. Llama 3 and its descendants differ in how many digits
// make a piece.
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kSeedCoder =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kBailing =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kBloom = R"( ?[^(\s|.,!?…。，、।۔،)]+)";
constexpr std::string_view kFalconPunctuation = R"([\p{P}\$\+<=>\^~\|`]+)";
constexpr std::string_view kDefaultPunctuation = R"([\p{P}\$\+<=>\^~\|]+)";

constexpr std::string_view kLineBreak = R"([\r\n])";
constexpr std::string_view kDeepSeekHan = R"([\x{4E00}-\x{9FA5}\x{0800}-\x{4E00}\x{AC00}-\x{D7FF}]+)";
// The cased letters of the Unicode version that DeepSeek's authors had.
constexpr std::string_view kDeepSeekLetters =
    R"(\s?[A-Za-z\x{00B5}\x{00C0}-\x{00D6}\x{00D8}-\x{00F6}\x{00F8}-\x{01BA}\x{01BC}-\x{01BF})"
    R"(\x{01C4}-\x{0293}\x{0295}-\x{02AF}\x{0370}-\x{0373}\x{0376}\x{0377}\x{037B}-\x{037D}\x{037F})"
    R"(\x{0386}\x{0388}-\x{038A}\x{038C}\x{038E}-\x{03A1}\x{03A3}-\x{03F5}\x{03F7}-\x{0481})"
    R"(\x{048A}-\x{052F}\x{0531}-\x{0556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD})"
    R"(\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A})"
    R"(\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57})"
    R"(\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE})"
    R"(\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC})"
    R"(\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D})"
    R"(\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F})"
    R"(\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE})"
    R"(\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787})"
    R"(\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A})"
    R"(\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB})"
    R"(\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+)";
constexpr std::string_view kDeepSeekPunctuation =
    R"(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+)";
constexpr std::string_view kDeepSeek3Han = R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)";
constexpr std::string_view kDeepSeek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::array kGpt2Stages{kGpt2};
constexpr std::array kDefaultStages{kDefaultPunctuation, kGpt2, std::string_view(R"(\p{N}+)"),
                                    kThreeAsciiDigits};
constexpr std::array kFalconStages{kFalconPunctuation, kGpt2, kThreeAsciiDigits};
constexpr std::array kDigitStages{kDigit, kGpt2};
constexpr std::array kLlama3Stages{kLlama3};
constexpr std::array kQwen2Stages{kQwen2};
constexpr std::array kSeedCoderStages{kSeedCoder};
constexpr std::array kBailingStages{kBailing};
constexpr std::array kTekkenStages{kTekken};
constexpr std::array kGpt4oStages{kGpt4o};
constexpr std::array kBloomStages{kBloom};
constexpr std::array kVikingStages{kBloom, kDigit};
constexpr std::array kDeepSeekLlmStages{kLineBreak,           kDeepSeekLetters,
                                        kDeepSeekPunctuation, std::string_view(R"(\s+$)"),
                                        kDeepSeekHan,         std::string_view(R"(\p{N}+)")};
constexpr std::array kDeepSeekCoderStages{kLineBreak, std::string_view(R"(\s?\p{L}+)"),
                                          std::string_view(R"(\s?\p{P}+)"), kDeepSeekHan, kDigit};
constexpr std::array kDeepSeek3Stages{kUpToThreeDigits, kDeepSeek3Han, kDeepSeek3};

struct Entry {
  std::string_view name;
  std::span<const std::string_view> stages;
  bool ignore_merges = false;
  bool add_bos = false;
};

// The names are those of llama.cpp's converter, which invented the key.
constexpr std::array<Entry, 50> kEntries{{
    {"default", kDefaultStages},
    {"llama3", kLlama3Stages, true, true},
    {"llama-v3", kLlama3Stages, true, true},
    {"llama-bpe", kLlama3Stages, true, true},
    {"falcon3", kLlama3Stages, true, true},
    {"falcon-h1", kLlama3Stages, true, true},
    {"pixtral", kLlama3Stages, true, true},
    {"midm-2.0", kLlama3Stages, true, true},
    {"lfm2", kLlama3Stages, true, true},
    {"dbrx", kLlama3Stages},
    {"smaug-bpe", kLlama3Stages},
    {"glm4", kLlama3Stages},
    {"chatglm-bpe", kLlama3Stages},
    {"qwen2", kQwen2Stages},
    {"deepseek-r1-qwen", kQwen2Stages},
    {"megrez", kQwen2Stages},
    {"stablelm2", kQwen2Stages},
    {"hunyuan", kQwen2Stages},
    {"grok-2", kQwen2Stages},
    {"seed-coder", kSeedCoderStages},
    {"bailingmoe", kBailingStages},
    {"bailingmoe2", kBailingStages},
    {"llada-moe", kBailingStages},
    {"tekken", kTekkenStages, true, true},
    {"gpt-4o", kGpt4oStages},
    {"llama4", kGpt4oStages},
    {"minimax-m2", kGpt4oStages},
    {"gpt-2", kGpt2Stages},
    {"phi-2", kGpt2Stages},
    {"mpt", kGpt2Stages},
    {"olmo", kGpt2Stages},
    {"jais", kGpt2Stages},
    {"gigachat", kGpt2Stages},
    {"exaone4", kGpt2Stages},
    {"trillion", kGpt2Stages},
    {"granite-docling", kGpt2Stages},
    {"falcon", kFalconStages},
    {"smollm", kDigitStages},
    {"starcoder", kDigitStages},
    {"refact", kDigitStages},
    {"command-r", kDigitStages},
    {"codeshell", kDigitStages},
    {"exaone", kDigitStages},
    {"minerva-7b", kDigitStages},
    {"bloom", kBloomStages},
    {"viking", kVikingStages},
    {"deepseek-llm", kDeepSeekLlmStages},
    {"deepseek-coder", kDeepSeekCoderStages},
    {"deepseek-v3", kDeepSeek3Stages},
    {"hunyuan-dense", kDeepSeek3Stages},
}};

Status UnknownName(std::string_view name) {
  std::string known;
  for (const Entry& entry : kEntries) known += (known.empty() ? "" : ", ") + std::string(entry.name);
  return Unimplemented("tokenizer.ggml.pre is " + Quoted(name) +
                       ", which is not supported; supported: " + known);
}

}  // namespace

Result<GgufPreTokenizer> MakeGgufPreTokenizer(std::string_view name) {
  for (const Entry& entry : kEntries) {
    if (entry.name != name) continue;
    GgufPreTokenizer result{{}, entry.ignore_merges, entry.add_bos};
    for (const std::string_view pattern : entry.stages) {
      ASSIGN_OR_RETURN(Regex regex, Regex::Compile(pattern));
      result.stages.push_back(MakeSplit(std::move(regex), SplitBehavior::kIsolated, /*invert=*/false));
    }
    ASSIGN_OR_RETURN(auto byte_level,
                     MakeByteLevelPreTokenizer(/*add_prefix_space=*/false, /*use_regex=*/false));
    result.stages.push_back(std::move(byte_level));
    return result;
  }
  return UnknownName(name);
}

}  // namespace reprise::tokenizer
