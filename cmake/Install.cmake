# cmake --install BUILD [--prefix P]: a tree that works under any prefix, moved or copied, and for every user.
#   bin/tutti                      finds the rest from where it lies (/proc/self/exe)
#   lib/tutti/libtutti_cuda.so     if it was built
#   share/tutti/models/tiny-r1     the model that ships with tutti
#   share/doc/tutti                README.md and what it links to
set(doc share/doc/tutti)
set(plugin_folders "")
if(TARGET tutti_cuda)
  set(plugin_folders lib lib/tutti)
endif()
set(readable OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

# Who installs is often not who runs, and cmake makes folders as the umask says. Those that were there are left alone.
install(CODE "
  foreach(folder . bin ${plugin_folders} share share/tutti share/tutti/models share/doc ${doc}
          ${doc}/bench ${doc}/models ${doc}/models/tiny-r1 ${doc}/tests ${doc}/tests/golden ${doc}/tests/inventory)
    set(path \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/\${folder}\")
    if(NOT EXISTS \"\${path}\")
      file(MAKE_DIRECTORY \"\${path}\")
      file(CHMOD \"\${path}\" PERMISSIONS ${readable})
    endif()
  endforeach()")

# Fixed places under the prefix, since the program looks there: no lib64 and no lib/x86_64-linux-gnu.
install(TARGETS tutti RUNTIME DESTINATION bin)
if(TARGET tutti_cuda)
  install(TARGETS tutti_cuda LIBRARY DESTINATION lib/tutti OPTIONAL)
endif()
install(DIRECTORY models/tiny-r1/checkpoint/ DESTINATION share/tutti/models/tiny-r1
  DIRECTORY_PERMISSIONS ${readable})
install(FILES README.md ARCHITECTURE.md CONTRIBUTING.md LICENSE DESTINATION ${doc})
install(DIRECTORY docs DESTINATION ${doc} DIRECTORY_PERMISSIONS ${readable})
install(DIRECTORY bench/results DESTINATION ${doc}/bench DIRECTORY_PERMISSIONS ${readable})
install(FILES models/tiny-r1/README.md DESTINATION ${doc}/models/tiny-r1)
install(FILES tests/golden/README.md DESTINATION ${doc}/tests/golden)
install(FILES tests/inventory/mock_nvml.md DESTINATION ${doc}/tests/inventory)
