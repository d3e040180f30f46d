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
constexpr std::string_view kDeepSeekHan = "[一-龥ࠀ-一가-\uD7FF]+";
constexpr std::string_view kDeepSeekLetters =
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)";
constexpr std::string_view kDeepSeekPunctuation = R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)";
constexpr std::string_view kDeepSeek3Han = "[一-龥\u3040-ゟ゠-ヿ]+";
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
