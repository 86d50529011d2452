#include "inventory/nvml_library.h"

#include <algorithm>
#include <array>

#include <dlfcn.h>

namespace tutti {

namespace {

struct CodeText {
  unsigned code;
  const char* text;
};

constexpr std::array kTexts{
    CodeText{1, "not initialised"},
    CodeText{nvml::kInvalidArgument, "invalid argument"},
    CodeText{nvml::kNotSupported, "not supported"},
    CodeText{4, "no permission"},
    CodeText{nvml::kNotFound, "not found"},
    CodeText{nvml::kInsufficientSize, "insufficient size"},
    CodeText{8, "a power cable of the GPU is not connected"},
    CodeText{9, "the driver is not loaded"},
    CodeText{10, "timed out"},
    CodeText{11, "the kernel has trouble with the GPU's interrupts"},
    CodeText{12, "a library of the driver was not found"},
    CodeText{nvml::kFunctionNotFound, "this driver does not have the function"},
    CodeText{14, "the GPU's infoROM is corrupt"},
    CodeText{nvml::kGpuIsLost, "the GPU has fallen off the bus"},
    CodeText{16, "the GPU needs a reset"},
    CodeText{17, "the operating system or a control group blocks access to the GPU"},
    CodeText{18,
             "the driver's library and kernel module are of different versions: reboot or reload "
             "the module, restart the container"},
    CodeText{19, "the GPU is in use"},
    CodeText{20, "out of memory"},
    CodeText{21, "no data"},
    CodeText{25, "the driver wants another version of the struct"},
    CodeText{999, "unknown error of the driver"},
};

template <class... Args>
void look_up(void* library,
             nvml::Function<Args...>& function,
             const char* newest,
             const char* older) {
  function.name = newest;
  void* found = dlsym(library, newest);
  if (found == nullptr && older != nullptr) {
    found = dlsym(library, older);
    function.name = found != nullptr ? older : newest;
  }
  function.call = reinterpret_cast<unsigned (*)(Args...)>(found);
}

}  // namespace

NvmlLibrary::NvmlLibrary(void* library) : library_(library) {
#define TUTTI_LOOK_UP(member, type, newest, older) \
  look_up(library, functions_.member, newest, older);
  TUTTI_NVML_FUNCTIONS(TUTTI_LOOK_UP)
#undef TUTTI_LOOK_UP
}

NvmlLibrary::~NvmlLibrary() {
  if (initialised_) {
    functions_.shutdown();
  }
  dlclose(library_);
}

Result<std::unique_ptr<NvmlLibrary>> NvmlLibrary::open(const std::vector<std::string>& names) {
  std::string first_error = "no name of the library is given";
  for (const std::string& name : names) {
    void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      if (&name == &names.front()) {  // the others are only where it may lie besides
        first_error = dlerror();      // NOLINT(concurrency-mt-unsafe): glibc's is of the thread
      }
      continue;
    }
    std::unique_ptr<NvmlLibrary> library(new NvmlLibrary(handle));
    const unsigned code = library->functions_.init();
    if (code != nvml::kSuccess) {
      return error(
          StatusCode::kUnavailable, "{}: {}", library->functions_.init.name, nvml_text(code));
    }
    library->initialised_ = true;
    return library;
  }
  return error(StatusCode::kUnavailable, "{}", first_error);
}

std::string nvml_text(unsigned code) {
  const auto* found =
      std::find_if(kTexts.begin(), kTexts.end(), [&](const CodeText& t) { return t.code == code; });
  return found == kTexts.end() ? fmt::format("error {}", code) : found->text;
}

}  // namespace tutti
