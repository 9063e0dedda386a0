// File systems of tests that are this machine's but for what they do otherwise.

import PSFiles

/// Whatever is not implemented goes to the files of this machine.
package protocol AlteredFiles: FileSystem {}

private let local = LocalFileSystem()

extension AlteredFiles {
    package func entry(_ path: String) throws(StorageError) -> FileEntry? { try local.entry(path) }
    package func list(_ path: String) throws(StorageError) -> [String] { try local.list(path) }
    package func makeDirectory(_ path: String) throws(StorageError) { try local.makeDirectory(path) }
    package func remove(_ file: String) throws(StorageError) { try local.remove(file) }
    package func removeEmptyDirectory(_ path: String) throws(StorageError) { try local.removeEmptyDirectory(path) }
    package func rename(_ old: String, to new: String) throws(StorageError) { try local.rename(old, to: new) }
    package func link(_ file: String, as name: String) throws(StorageError) { try local.link(file, as: name) }
    package func synchronize(directory: String) throws(StorageError) { try local.synchronize(directory: directory) }
    package func openDirectory(_ path: String) throws(StorageError) -> any OpenDirectory {
        try local.openDirectory(path)
    }
    package func open(_ path: String) throws(StorageError) -> any ReadableFile { try local.open(path) }
}
