// ReDoc over this gateway's own document.
Redoc.init("/openapi.json", { hideDownloadButton: false, nativeScrollbars: true, sideNavStyle: "path-only" }, document.getElementById("redoc"));
