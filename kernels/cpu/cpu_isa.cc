#include "kernels/cpu/cpu_isa.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <iterator>

#include "kernels/backend.h"

namespace reprise {
namespace {

void Require(bool present, std::string_view name, std::string* missing) {
  if (!present) *missing += (missing->empty() ? "" : ", ") + std::string(name);
}

std::string MissingForAvx2() {
  std::string missing;
  Require(__builtin_cpu_supports("avx2"), "avx2", &missing);
  Require(__builtin_cpu_supports("fma"), "fma", &missing);
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  __get_cpuid(1, &eax, &ebx, &ecx, &edx);
  Require((ecx & bit_F16C) != 0, "f16c", &missing);
  return missing;
}

std::string MissingForAvx512Vnni() {
  std::string missing = MissingForAvx2();
  Require(__builtin_cpu_supports("avx512f"), "avx512f", &missing);
  Require(__builtin_cpu_supports("avx512bw"), "avx512bw", &missing);
  Require(__builtin_cpu_supports("avx512vl"), "avx512vl", &missing);
  Require(__builtin_cpu_supports("avx512dq"), "avx512dq", &missing);
  Require(__builtin_cpu_supports("avx512vnni"), "avx512_vnni", &missing);
  return missing;
}

std::string MissingForAvx512Bf16() {
  std::string missing = MissingForAvx512Vnni();
  Require(__builtin_cpu_supports("avx512bf16"), "avx512_bf16", &missing);
  return missing;
}

// The tile registers have to be asked for once per process (Linux, Documentation/arch/x86/xstate.rst).
bool KernelGrantsTiles() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

std::string MissingForAmx() {
  std::string missing = MissingForAvx512Vnni();
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx);
  Require((edx & (1u << 24)) != 0, "amx_tile", &missing);
  Require((edx & (1u << 25)) != 0, "amx_int8", &missing);
  Require((edx & (1u << 22)) != 0, "amx_bf16", &missing);
  if (missing.empty())
    Require(KernelGrantsTiles(), "the operating system's permission for amx_tile", &missing);
  return missing;
}

struct Leg {
  std::string_view name;
  std::string (*missing)();  // empty: it runs here
  const KernelTable& (*kernels)();
};
constexpr Leg kLegs[] = {
    // worst first
    {"avx2", MissingForAvx2, Avx2Kernels},
    {"avx512-vnni", MissingForAvx512Vnni, Avx512VnniKernels},
    {"avx512-bf16", MissingForAvx512Bf16, Avx512Bf16Kernels},
    {"amx", MissingForAmx, AmxKernels},
};

std::string LegNames() {
  std::string names;
  for (const Leg& leg : kLegs) names += (names.empty() ? "" : ", ") + std::string(leg.name);
  return names;
}

}  // namespace

Result<const KernelTable*> SelectKernels(std::string_view name) {
  if (name.empty()) {
    for (auto leg = std::rbegin(kLegs); leg != std::rend(kLegs); ++leg)
      if (leg->missing().empty()) return &leg->kernels();
    return FailedPrecondition("the cpu backend needs at least AVX2; this CPU lacks " + MissingForAvx2());
  }
  for (const Leg& leg : kLegs) {
    if (leg.name != name) continue;
    if (const std::string missing = leg.missing(); !missing.empty())
      return FailedPrecondition("instruction set '" + std::string(name) +
                                "' was asked for, but this CPU lacks " + missing);
    return &leg.kernels();
  }
  return InvalidArgument("unknown instruction set '" + std::string(name) + "'; allowed are " + LegNames(),
                         "isa");
}

std::vector<std::string> AvailableCpuIsas() {
  std::vector<std::string> names;
  for (const Leg& leg : kLegs)
    if (leg.missing().empty()) names.emplace_back(leg.name);
  return names;
}

}  // namespace reprise
