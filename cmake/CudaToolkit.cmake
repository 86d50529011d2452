# The CUDA language and the toolkit's libraries.
# The compiler is the one that scripts/cuda-toolkit fetches, unless CUDACXX or CMAKE_CUDA_COMPILER names another.
set(fetched_nvcc ${CMAKE_SOURCE_DIR}/build/cuda-toolkit/bin/nvcc)
if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  find_program(system_nvcc nvcc PATHS /usr/local/cuda/bin)
  if(EXISTS ${fetched_nvcc})
    set(CMAKE_CUDA_COMPILER ${fetched_nvcc})
  elseif(system_nvcc)
    set(CMAKE_CUDA_COMPILER ${system_nvcc})
  else()
    message(FATAL_ERROR "TUTTI_CUDA: there is no nvcc. Run scripts/cuda-toolkit, which fetches one into build/cuda-toolkit, or set CUDACXX to yours.")
  endif()
endif()
enable_language(CUDA)
# CMake 3.25.1 (Debian 12) has no CUDA20 entry for nvcc: "CMake does not know the flags to enable it". Drop when CMake >=
# 3.25.2 is the floor.
if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
# FindCUDAToolkit of CMake 3.25 marks nvToolsExt as deprecated without asking whether it was found; CUDA 13 has none.
if(NOT TARGET CUDA::nvToolsExt)
  add_library(CUDA::nvToolsExt INTERFACE IMPORTED)
endif()
find_package(CUDAToolkit 13.0 REQUIRED)
