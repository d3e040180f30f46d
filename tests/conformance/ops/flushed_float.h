// Arithmetic of the bfloat16 instructions: to nearest even, subnormal operands and results being zero.
#pragma once

namespace reprise::test {

float FlushedFma(float a, float b, float sum);
float FlushedSum(float a, float b);

}  // namespace reprise::test
