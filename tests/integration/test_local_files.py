"""Local files without a process for each: as Hadoop's own file system makes them, permissions and links included."""

from __future__ import annotations

import stat

import pytest

SEVERAL = [0o600, 0o644, 0o755, 0o1777]


@pytest.fixture(params=["own", "hadoop"])
def files(spark, request):
    jvm, conf = spark._jvm, spark._jsc.hadoopConfiguration()
    if request.param == "own":
        return jvm.org.apache.hadoop.fs.Path("/").getFileSystem(conf)
    made = jvm.org.apache.hadoop.fs.LocalFileSystem()
    made.initialize(jvm.java.net.URI("file:///"), conf)
    return made


def test_spark_uses_it_for_data_and_for_checkpoints(spark):
    jvm, conf = spark._jvm, spark._jsc.hadoopConfiguration()
    data = jvm.org.apache.hadoop.fs.Path("/").getFileSystem(conf)
    checkpoints = jvm.org.apache.hadoop.fs.FileContext.getFileContext(conf).getDefaultFileSystem()
    assert data.getRaw().getClass().getName() == "headway.LocalFiles$Raw"
    assert checkpoints.getRawFs().getClass().getName() == "headway.LocalFilesContext$Raw"


def test_files_and_folders_have_the_permissions_that_hadoop_gives(spark, tmp_path, files):
    jvm = spark._jvm
    folder = jvm.org.apache.hadoop.fs.Path(str(tmp_path / "folder"))
    assert files.mkdirs(folder)
    files.create(jvm.org.apache.hadoop.fs.Path(folder, "file")).close()
    assert mode(tmp_path / "folder") == 0o755
    assert mode(tmp_path / "folder" / "file") == 0o644


@pytest.mark.parametrize("bits", SEVERAL, ids=oct)
def test_permissions_are_set(spark, tmp_path, files, bits):
    jvm = spark._jvm
    (tmp_path / "file").touch()
    given = jvm.org.apache.hadoop.fs.permission.FsPermission(bits)
    files.setPermission(jvm.org.apache.hadoop.fs.Path(str(tmp_path / "file")), given)
    assert mode(tmp_path / "file") == bits


def test_a_folder_keeps_the_group_that_its_files_are_to_have(spark, tmp_path, files):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o2775)
    jvm = spark._jvm
    assert files.mkdirs(jvm.org.apache.hadoop.fs.Path(str(tmp_path / "shared" / "new")))
    assert mode(tmp_path / "shared" / "new") == 0o2755


def test_links_are_told_from_files(spark, tmp_path, files):
    jvm = spark._jvm
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    found = [
        files.getFileLinkStatus(jvm.org.apache.hadoop.fs.Path(str(tmp_path / n))) for n in ("file", "link")
    ]
    assert [status.isSymlink() for status in found] == [False, True]


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)
