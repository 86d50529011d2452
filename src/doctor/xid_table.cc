#include "doctor/xid_table.h"

#include <algorithm>
#include <array>

namespace tutti {

namespace {

constexpr const char* kProgram =
    "a program's own fault as a rule; if it is tutti's: tutti doctor --dump FILE, and report it";
constexpr const char* kReset = "nvidia-smi -r -i GPU with no program on it, or restart the machine";

// After NVIDIA's catalogue of Xid errors.
constexpr auto kRows = std::to_array<XidMeaning>({
    // clang-format off
    {13, Severity::kInfo, "a program failed on the GPU (graphics engine exception)", kProgram},
    {31, Severity::kInfo, "a program used memory that is not its own", kProgram},
    {43, Severity::kInfo, "a program's work stopped", kProgram},
    {45, Severity::kInfo, "work was taken off the GPU because a program ended", kProgram},
    {48, Severity::kWarning, "an uncorrectable memory error", kReset},
    {61, Severity::kError, "the GPU's controller halted", kReset},
    {62, Severity::kError, "the GPU's controller halted", kReset},
    {63, Severity::kInfo, "a bad row of memory was noted; the next reset replaces it", kReset},
    {64, Severity::kError, "a bad row of memory could not be noted", "restart the machine; exchange the GPU if it happens again"},
    {74, Severity::kError, "an NVLink failed", "nvidia-smi nvlink -s; restart, then have the board looked at"},
    {79, Severity::kError, "the GPU fell off the bus", "power the machine off and on; reseat the GPU; exchange it if it happens again"},
    {92, Severity::kInfo, "many correctable memory errors", "watch it; exchange the GPU if uncorrectable ones follow"},
    {94, Severity::kWarning, "a memory error that ended one program alone", "start that program again; reset the GPU when it is free"},
    {95, Severity::kError, "a memory error that was not contained", kReset},
    {119, Severity::kError, "the GPU's firmware (GSP) does not answer", "restart the machine; take a newer driver if it happens again"},
    {120, Severity::kError, "the GPU's firmware (GSP) failed", "restart the machine; take a newer driver if it happens again"},
    {140, Severity::kWarning, "an uncorrectable error in the GPU's memory system", kReset},
    {145, Severity::kError, "an NVLink failed (NVLink 5)", "nvidia-smi nvlink -s; restart, then have the board looked at"},
    {149, Severity::kError, "an NVLink failed (NVLink 5)", "nvidia-smi nvlink -s; restart, then have the board looked at"},
    {154, Severity::kWarning, "the driver changed what it asks for to recover", "look at gpu.recovery"},
    // clang-format on
});

constexpr XidMeaning kUnknown{0,
                              Severity::kWarning,
                              "an error that this table does not have",
                              "look it up in NVIDIA's catalogue of Xid errors"};

}  // namespace

const XidMeaning& meaning_of_xid(int64_t code) {
  const auto row = std::find_if(
      kRows.begin(), kRows.end(), [&](const XidMeaning& meaning) { return meaning.code == code; });
  return row == kRows.end() ? kUnknown : *row;
}

}  // namespace tutti
