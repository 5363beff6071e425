// What the OHIF viewer asks for as /ohif/app-config.js: this box is its one data source.

window.PUBLIC_URL = "/ohif/";
window.browserImportFunction = (module) => import(module);
console.time("scriptToView");

window.config = {
  name: "dicomweb_box",
  routerBasename: "/ohif",
  extensions: [],
  modes: [],
  customizationService: {},
  showStudyList: true,
  showWarningMessageForCrossOrigin: true,
  showCPUFallbackMessage: true,
  showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true,
  groupEnabledModesFirst: true,
  showErrorDetails: "always",
  maxNumberOfWebWorkers: 3,
  maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 25 },
  defaultDataSourceName: "box",
  dataSources: [
    {
      namespace: "@ohif/extension-default.dataSourcesModule.dicomweb",
      sourceName: "box",
      configuration: {
        friendlyName: "dicomweb_box",
        name: "box",
        qidoRoot: window.location.origin + "/dicom-web",
        wadoRoot: window.location.origin + "/dicom-web",
        wadoUriRoot: window.location.origin + "/wado",
        qidoSupportsIncludeField: true,
        supportsFuzzyMatching: true,
        supportsWildcard: true,
        supportsStow: true,
        supportsReject: false,
        dicomUploadEnabled: true,
        enableStudyLazyLoad: true,
        imageRendering: "wadors",
        thumbnailRendering: "thumbnail",
        thumbnailRequestStrategy: "fetch",
        // Videos and documents are played from their own address; bulk data comes as multipart, since the
        // viewer takes the first part of it.
        singlepart: "video,pdf",
        bulkDataURI: { enabled: true, relativeResolution: "series" },
        omitQuotationForMultipartRequest: true,
      },
    },
  ],
};
