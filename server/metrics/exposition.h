// Lays the numbers out as Prometheus metric families and writes them as text.
#pragma once

#include <string>

#include "server/metrics/metrics_state.h"

namespace reprise {

std::string FormatMetrics(const MetricsState& state, const MetricsContext& context);

}  // namespace reprise
