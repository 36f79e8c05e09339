#include "avvik/version.h"

#include <hdf5.h>
#include <stdio.h>
#include <xxhash.h>

#include "build_info.h"

void avvik_version_get(struct avvik_version *version_out)
{
    unsigned major = 0, minor = 0, release = 0;
    H5get_libversion(&major, &minor, &release);
    *version_out =
        (struct avvik_version){AVVIK_VERSION, AVVIK_BUILD_COMPILER, AVVIK_BUILD_TYPE, AVVIK_BUILD_SYSTEM, "", 0, ""};
    hbool_t is_threadsafe = 0;
    H5is_library_threadsafe(&is_threadsafe);
    version_out->hdf5_is_threadsafe = is_threadsafe != 0;
    snprintf(version_out->hdf5, sizeof version_out->hdf5, "%u.%u.%u", major, minor, release);
    snprintf(version_out->xxhash, sizeof version_out->xxhash, "%u.%u.%u", XXH_versionNumber() / 10000,
             XXH_versionNumber() / 100 % 100, XXH_versionNumber() % 100);
}
