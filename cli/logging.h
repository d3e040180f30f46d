// The process-wide log: spdlog behind base/log.h.
#pragma once

namespace reprise {

// Lines on standard error: text ("2026-01-31 12:00:00.000 info  ready  http=127.0.0.1:8000") or one JSON
// object each. Call once, before threads start.
void InstallLogging(bool json);

}  // namespace reprise
