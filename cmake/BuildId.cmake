# TUTTI_BUILD_ID: what the program and libtutti_cuda.so compare before they talk. Objects of C++ classes cross that door,
# so both must have been compiled from the same declarations: version, compiler, and a hash of those headers.
file(GLOB door_headers
  ${CMAKE_SOURCE_DIR}/src/backend/*.h ${CMAKE_SOURCE_DIR}/src/base/*.h
  ${CMAKE_SOURCE_DIR}/src/comm/*.h ${CMAKE_SOURCE_DIR}/src/device/*.h ${CMAKE_SOURCE_DIR}/src/ops/*.h
  ${CMAKE_SOURCE_DIR}/src/tensor/*.h)
set(all "")
foreach(header ${door_headers})
  file(SHA256 ${header} hash)
  string(APPEND all ${hash})
endforeach()
string(SHA256 all "${all}")
string(SUBSTRING ${all} 0 12 all)
set(TUTTI_BUILD_ID "${PROJECT_VERSION} ${CMAKE_CXX_COMPILER_ID}-${CMAKE_CXX_COMPILER_VERSION} ${all}")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${door_headers})
