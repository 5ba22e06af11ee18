/* wal_vfs.h - the VFS of writing connections: the system's own, but for how a WAL is written. */
#ifndef DIONE_SQL_WAL_VFS_H
#define DIONE_SQL_WAL_VFS_H

/* The VFS's name for sqlite3_open_v2, registered at the first call. NULL: it could not be registered, and the system's
 * own does as well. Any thread. */
const char *wal_vfs_name(void);

#endif
