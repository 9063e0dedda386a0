// swift-tools-version: 6.1
// The package: system libraries at the bottom, C loops and messages above them, then the parameter layout, the engine and
// the service side by side, the job on top. Arrows between targets only point down.
import PackageDescription

let vectorised: [CSetting] = [
    // The loops of `CKernels` and `CPixels` are written to be vectorised; contraction is off because the servers' arithmetic must give
    // the same bits on every instruction set.
    .unsafeFlags(["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"])
]

/// A Swift target in the 6 language mode.
func target(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: [.swiftLanguageMode(.v6)])
}

func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .testTarget(
        name: name, dependencies: dependencies, exclude: [], resources: resources,
        swiftSettings: [.swiftLanguageMode(.v6)])
}

func executable(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: dependencies, swiftSettings: [.swiftLanguageMode(.v6)])
}

func systemLibrary(_ name: String, _ pkgConfig: String, _ debianPackage: String) -> Target {
    .systemLibrary(name: name, pkgConfig: pkgConfig, providers: [.apt([debianPackage])])
}

let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")
let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "inception-parameter-server",
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    ],
    targets: [
        // System libraries.
        // Without pkg-config: Debian's libzmq.pc has -isystem flags, which SwiftPM refuses with a warning.
        .systemLibrary(name: "CZeroMQ", providers: [.apt(["libzmq3-dev"])]),
        systemLibrary("COpenBLAS", "openblas", "libopenblas-dev"),
        systemLibrary("CProtobufC", "libprotobuf-c", "libprotobuf-c-dev"),
        systemLibrary("CZlib", "zlib", "zlib1g-dev"),
        systemLibrary("CCrypto", "libcrypto", "libssl-dev"),
        systemLibrary("CJPEG", "libjpeg", "libjpeg62-turbo-dev"),
        systemLibrary("CSPNG", "spng", "libspng-dev"),
        systemLibrary("CWebP", "libwebp", "libwebp-dev"),

        // C: generated messages, vectorised loops.
        .target(name: "CMessages", dependencies: ["CProtobufC"]),
        .target(name: "CKernels", cSettings: vectorised),
        .target(name: "CImageCodecs", dependencies: ["CJPEG", "CSPNG", "CWebP"], cSettings: vectorised),
        .target(name: "CPixels", cSettings: vectorised),
        .target(name: "CChecksums", cSettings: vectorised),
        // Linked, not called: holds OpenBLAS to one thread from the moment it is loaded.
        .target(name: "CSingleThreadedBLAS"),

        // The flat vector, and what a network is.
        target("PSParameters", []),
        target("PSModel", ["PSParameters"]),

        // How the engine computes what: shapes and choices, no arithmetic.
        target("PSPlanning", ["PSModel", "PSParameters"]),

        // The engine.
        target("PSKernels", ["COpenBLAS", "CKernels", "CSingleThreadedBLAS", "PSModel", "PSPlanning"]),
        target("PSNetwork", ["PSKernels", "PSModel", "PSParameters", "PSPlanning"]),

        // What a ticket is, then how it becomes numbers.
        target("PSSamples", ["PSParameters"]),
        target("PSDatasets", ["CChecksums", "CZlib", "PSFiles", "PSParameters"]),
        target("PSImages", ["CImageCodecs", "PSSamples"]),
        target("PSTransforms", ["CPixels", "PSImages", "PSSamples"]),
        target(
            "PSData",
            [
                "PSConfiguration", "PSDatasets", "PSImages", "PSKernels", "PSParameters", "PSSamples", "PSTransforms",
            ]),

        // What a network says of images.
        target(
            "PSPrediction",
            [
                "PSCheckpoint", "PSConfiguration", "PSData", "PSDatasets", "PSFiles", "PSModel", "PSNetwork",
                "PSParameters", "PSPlanning",
            ]),

        // The service.
        target("PSOptimization", ["PSParameters", "CKernels"]),
        target("PSFiles", ["CCrypto"]),
        target("PSProofs", ["CCrypto"]),
        target("PSCheckpoint", ["PSFiles", "PSParameters"]),
        target("PSConfiguration", ["PSModel", "PSOptimization", "PSDatasets", "PSSamples", "PSPlanning", yams]),
        target("PSMessages", ["CMessages", "PSParameters", "PSProofs"]),
        target("PSKeys", ["PSFiles", "PSProofs", "CZeroMQ"]),
        target("PSTransport", ["CZeroMQ"]),
        target("PSNode", ["PSTransport", "PSMessages", "PSKeys", "PSProofs", logging]),
        target("PSProtocol", ["PSMessages", "PSParameters", "PSProofs"]),
        target("PSRun", ["PSProtocol", "PSCheckpoint", "PSFiles", "PSMessages", "PSParameters", "PSProofs", "CZlib"]),
        target(
            "PSServer",
            [
                "PSNode", "PSProtocol", "PSOptimization", "PSCheckpoint", "PSRun", "PSFiles", "PSKeys", "PSProofs",
                "PSConfiguration",
            ]),
        target(
            "PSWorker",
            [
                "PSNode", "PSProtocol", "PSKeys", "PSProofs", "PSNetwork", "PSOptimization", "PSData", "PSDatasets",
                "PSCheckpoint", "PSRun",
                "PSConfiguration", "PSPlanning", "PSPrediction",
            ]),
        target(
            "PSCoordinator",
            [
                "PSNode", "PSProtocol", "PSOptimization", "PSDatasets", "PSCheckpoint", "PSRun", "PSFiles", "PSKeys",
                "PSConfiguration", "PSPlanning", "PSPrediction", "PSProofs",
            ]),

        // What a person asks for: reports, evaluation, jobs on this machine, benchmarks.
        target("PSReport", ["PSFiles", "PSPlanning", "CCrypto", "COpenBLAS", "CProtobufC", "CZeroMQ", "CZlib"]),
        target(
            "PSEvaluation",
            [
                "PSReport", "PSCheckpoint", "PSFiles", "PSConfiguration", "PSData", "PSDatasets", "PSDataTools",
                "PSImages", "PSModel", "PSNetwork", "PSParameters", "PSPlanning", "PSPrediction", "PSSamples",
            ]),
        target(
            "PSAudit",
            [
                "PSReport", "PSRun", "PSProtocol", "PSMessages", "PSParameters", "PSFiles", "PSCheckpoint",
                "PSConfiguration", "PSDatasets", "PSSamples",
            ]),
        target("PSModelTools", ["PSModel", "PSNetwork", "PSPlanning", "PSReport"]),
        target(
            "PSDataTools",
            [
                "PSReport", "PSFiles", "PSConfiguration", "PSData", "PSDatasets", "PSImages", "PSParameters",
                "PSSamples",
                "PSTransforms",
            ]),
        target(
            "PSJob",
            [
                "PSReport", "PSRun", "PSFiles", "PSCheckpoint", "PSConfiguration", "PSCoordinator", "PSDatasets",
                "PSKeys", "PSMessages", "PSModel", "PSNetwork", "PSNode", "PSParameters", "PSPrediction", "PSProofs",
                "PSProtocol",
                "PSTransport",
            ]),
        target(
            "PSBenchmarks",
            [
                "PSJob", "PSReport", "PSRun", "PSFiles", "PSCheckpoint", "PSConfiguration", "PSData", "PSDatasets",
                "PSKernels", "PSModel",
                "PSNetwork",
                "PSMessages", "PSOptimization", "PSParameters", "PSPlanning", "PSProtocol", "PSWorker", "CKernels",
            ]),

        // What a person and the job start.
        target("PSMemberCommand", ["PSNode", "PSProofs", "PSProtocol", "PSRun", logging, argumentParser]),
        executable("ps-server", ["PSServer", "PSMemberCommand", "PSNode", argumentParser]),
        executable("ps-worker", ["PSWorker", "PSMemberCommand", "PSNode", argumentParser]),
        executable("ps-coordinator", ["PSCoordinator", "PSRun", "PSConfiguration", "PSNode", argumentParser]),
        executable(
            "psctl",
            [
                "PSJob", "PSAudit", "PSBenchmarks", "PSDataTools", "PSDatasets", "PSEvaluation", "PSReport", "PSRun",
                "PSFiles",
                "PSCheckpoint",
                "PSConfiguration", "PSCoordinator", "PSKeys", "PSMessages", "PSModel", "PSModelTools", "PSNode",
                "PSParameters", "PSPlanning", "PSPrediction", "PSProtocol", "PSSamples", argumentParser,
            ]),

        // Tests.
        .target(
            name: "TestSupport", dependencies: ["PSFiles"], path: "Tests/TestSupport",
            swiftSettings: [.swiftLanguageMode(.v6)]),
        .target(
            name: "SyntheticData", dependencies: ["PSDatasets", "PSImages", "PSParameters"],
            path: "Tests/SyntheticData", resources: [.copy("Resources")], swiftSettings: [.swiftLanguageMode(.v6)]),
        .executableTarget(
            name: "synthetic-imagenet", dependencies: ["SyntheticData"], path: "Tests/SyntheticImageNet",
            swiftSettings: [.swiftLanguageMode(.v6)]),
        tests("PSParametersTests", ["PSParameters"]),
        tests("PSModelTests", ["PSModel"], resources: [.copy("Fixtures")]),
        tests("PSKernelsTests", ["PSKernels", "CKernels", "PSModel", "PSParameters", "PSPlanning"]),
        tests("PSNetworkTests", ["PSNetwork", "PSOptimization"], resources: [.copy("Fixtures")]),
        tests("PSSamplesTests", ["PSSamples", "PSParameters", "CZlib"], resources: [.copy("Fixtures")]),
        tests(
            "PSDatasetsTests",
            ["PSDatasets", "PSFiles", "PSParameters", "SyntheticData", "TestSupport", "CChecksums", "CZlib"],
            resources: [.copy("Fixtures")]),
        tests(
            "PSImagesTests", ["PSImages", "PSParameters", "PSSamples", "TestSupport"], resources: [.copy("Fixtures")]),
        tests(
            "PSTransformsTests", ["PSTransforms", "PSImages", "PSParameters", "PSSamples", "CPixels", "CZlib"],
            resources: [.copy("Fixtures")]),
        tests("PSDataTests", ["PSData", "PSDatasets", "PSImages", "PSSamples", "PSTransforms", "TestSupport"]),
        tests("PSOptimizationTests", ["PSOptimization"]),
        tests("PSCheckpointTests", ["PSCheckpoint", "PSFiles", "TestSupport"]),
        tests(
            "PSRunTests",
            ["PSRun", "PSCheckpoint", "PSFiles", "PSMessages", "PSParameters", "PSProtocol", "TestSupport"]),
        tests("PSKeysTests", ["PSKeys", "PSFiles", "PSProofs", "TestSupport"]),
        tests("PSPlanningTests", ["PSPlanning", "PSModel"]),
        tests("PSConfigurationTests", ["PSConfiguration", "PSModel", "PSPlanning"]),
        tests("PSMessagesTests", ["PSMessages", "PSProofs", "PSTransport"]),
        tests(
            "FuzzTests", ["PSProtocol", "PSMessages", "PSParameters", "PSProofs", "CMessages"],
            resources: [.copy("Corpus")]),
        tests("PSProtocolTests", ["PSProtocol", "PSFiles", "PSMessages", "PSParameters", "PSProofs"]),
        tests(
            "SimulationTests",
            [
                "PSProtocol", "PSRun", "PSServer", "PSWorker", "PSCoordinator", "PSCheckpoint", "PSFiles",
                "PSPrediction", "PSConfiguration", "PSOptimization", "PSMessages", "PSNode", "PSParameters",
                "PSProofs", "PSTransport", logging,
            ]),
        tests(
            "JobTests",
            [
                "PSJob", "PSAudit", "PSBenchmarks", "PSEvaluation", "PSPrediction", "PSReport", "PSRun", "PSFiles",
                "PSCheckpoint",
                "PSConfiguration", "PSCoordinator", "PSData", "PSDatasets", "PSImages", "PSSamples", "SyntheticData",
                "TestSupport",
                "PSModel", "PSNetwork", "PSOptimization", "PSParameters",
                "PSKeys", "PSMessages", "PSModelTools", "PSPlanning", "PSProtocol",
            ],
            resources: [.copy("Torchvision")]),
    ]
)
