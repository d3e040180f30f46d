// The part of config.json that is a sliced model's own, and the whole file for one.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "models/config.h"
#include "models/json_fields.h"

namespace reprise {

// config.json's first architecture for a sliced model; "base_architectures" names the class it was made from.
inline constexpr char kSlicedClass[] = "RepriseSliced";

// {"attention_input_widths": [...], "mlp_input_widths": [...], "output_widths": [...]}, one number a layer in
// each. INVALID_ARGUMENT when the lists are missing or differ in length.
Result<std::vector<LayerWidths>> ReadLayerWidths(const JsonFields& fields);
// The same from a JSON file, where they may also be below a key "slicing" as in config.json.
Result<std::vector<LayerWidths>> ReadLayerWidthsFile(const std::string& path);

// config.json of the sliced model `config` whose matrices are of type `dtype` ("float16"). `provenance` says
// how it was made, for people.
std::string SlicedConfigJson(const ModelConfig& config, const std::string& dtype,
                             const std::map<std::string, std::string>& provenance);

}  // namespace reprise
