#include "server/metrics/family_builder.h"

#include <limits>

namespace reprise {

using prometheus::MetricType;

prometheus::ClientMetric& FamilyBuilder::Add(const std::string& name, const std::string& help,
                                             MetricType type, MetricLabels labels) {
  if (families_.empty() || families_.back().name != name) {
    families_.push_back({.name = name, .help = help, .type = type, .metric = {}});
  }
  prometheus::ClientMetric& metric = families_.back().metric.emplace_back();
  metric.label = std::move(labels);
  return metric;
}

MetricLabels FamilyBuilder::WithCommon(MetricLabels labels) const {
  MetricLabels all = common_;
  all.insert(all.end(), labels.begin(), labels.end());
  return all;
}

void FamilyBuilder::Gauge(const std::string& name, const std::string& help, double value,
                          MetricLabels labels) {
  Add(name, help, MetricType::Gauge, WithCommon(std::move(labels))).gauge.value = value;
}

void FamilyBuilder::Counter(const std::string& name, const std::string& help, double value,
                            MetricLabels labels) {
  Add(name, help, MetricType::Counter, WithCommon(std::move(labels))).counter.value = value;
}

void FamilyBuilder::Histogram(const std::string& name, const std::string& help,
                              const reprise::Histogram& histogram, MetricLabels labels) {
  prometheus::ClientMetric::Histogram& out =
      Add(name, help, MetricType::Histogram, WithCommon(std::move(labels))).histogram;
  std::uint64_t cumulative = 0;
  for (std::size_t i = 0; i < histogram.counts().size(); ++i) {
    cumulative += histogram.counts()[i];
    const bool last = i == histogram.bounds().size();
    out.bucket.push_back(
        {.cumulative_count = cumulative,
         .upper_bound = last ? std::numeric_limits<double>::infinity() : histogram.bounds()[i]});
  }
  out.sample_count = cumulative;
  out.sample_sum = histogram.sum();
}

void FamilyBuilder::ProcessGauge(const std::string& name, const std::string& help, double value) {
  Add(name, help, MetricType::Gauge, {}).gauge.value = value;
}

void FamilyBuilder::ProcessCounter(const std::string& name, const std::string& help, double value) {
  Add(name, help, MetricType::Counter, {}).counter.value = value;
}

}  // namespace reprise
