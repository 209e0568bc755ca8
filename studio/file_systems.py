"""Which file system holds a folder, and what may be expected of it."""

from pathlib import Path

import psutil

# NFS and its like share no memory between machines; 9p and drvfs are WSL's view of Windows drives.
WITHOUT_SHARED_MEMORY = {"nfs", "nfs4", "cifs", "smb3", "9p", "drvfs", "fuse.sshfs", "lustre", "ceph"}


def file_system(folder: Path) -> str:
    """The kind of file system that holds the folder, such as ext4 or nfs4."""
    place = folder.resolve()
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    return next((mounts[parent] for parent in (place, *place.parents) if parent in mounts), "")
