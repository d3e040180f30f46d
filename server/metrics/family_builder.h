// Collects metric families: one call a series, in the order they are to appear.
#pragma once

#include <prometheus/metric_family.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "server/metrics/histogram.h"

namespace reprise {

using MetricLabels = std::vector<prometheus::ClientMetric::Label>;

class FamilyBuilder {
 public:
  // `common` labels stand before a series' own.
  explicit FamilyBuilder(MetricLabels common) : common_(std::move(common)) {}

  // Series of the same name must follow one another.
  void Gauge(const std::string& name, const std::string& help, double value, MetricLabels labels = {});
  void Counter(const std::string& name, const std::string& help, double value, MetricLabels labels = {});
  void Histogram(const std::string& name, const std::string& help, const reprise::Histogram& histogram,
                 MetricLabels labels = {});
  // Without the common labels.
  void ProcessGauge(const std::string& name, const std::string& help, double value);
  void ProcessCounter(const std::string& name, const std::string& help, double value);

  std::vector<prometheus::MetricFamily> Take() { return std::move(families_); }

 private:
  prometheus::ClientMetric& Add(const std::string& name, const std::string& help, prometheus::MetricType type,
                                MetricLabels labels);
  MetricLabels WithCommon(MetricLabels labels) const;

  const MetricLabels common_;
  std::vector<prometheus::MetricFamily> families_;
};

}  // namespace reprise
