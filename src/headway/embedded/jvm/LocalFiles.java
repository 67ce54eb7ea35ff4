package headway;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.attribute.PosixFilePermissions;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.LocalFileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.apache.hadoop.fs.permission.FsPermission;

/**
 * Hadoop's local file system without processes of its own: where Hadoop lacks its native library, it starts a `chmod`
 * for each file and directory that it makes, and eight times `readlink` to rename one.
 */
public final class LocalFiles extends LocalFileSystem {
    public LocalFiles() {
        super(new Raw());
    }

    /** The same without checksums. */
    public static final class Raw extends RawLocalFileSystem {
        private static final int SPECIAL = 07000;

        public void setPermission(Path path, FsPermission permission) throws IOException {
            java.nio.file.Path local = pathToFile(path).toPath();
            int mode = ((Integer) Files.getAttribute(local, "unix:mode", new LinkOption[0])).intValue();
            if (permission.getStickyBit() || (mode & SPECIAL) != 0) {
                super.setPermission(path, permission); // Java sets nine bits only, and would clear the others
            } else {
                Files.setPosixFilePermissions(local, PosixFilePermissions.fromString(permission.toString()));
            }
        }

        public FileStatus getFileLinkStatus(Path path) throws IOException {
            return Files.isSymbolicLink(pathToFile(path).toPath()) ? super.getFileLinkStatus(path) : getFileStatus(path);
        }
    }
}
