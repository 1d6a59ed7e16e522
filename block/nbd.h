/*
 * The NBD protocol: what stands on the wire. All numbers have their highest byte first.
 *
 * Source: the NBD project's doc/proto.md ("Protocol phases", "Fixed newstyle negotiation", "Transmission phase",
 * "Structured replies", "Metadata querying").
 */
#ifndef BLOCK_NBD_H
#define BLOCK_NBD_H

#define NBD_DEFAULT_PORT "10809"

#define NBD_MAGIC 0x4e42444d41474943ull     /* "NBDMAGIC" */
#define NBD_OPT_MAGIC 0x49484156454f5054ull /* "IHAVEOPT" */
#define NBD_REP_MAGIC 0x0003e889045565a9ull
#define NBD_REQUEST_MAGIC 0x25609513u
#define NBD_SIMPLE_MAGIC 0x67446698u
#define NBD_CHUNK_MAGIC 0x668e33efu

enum {
    NBD_STRING_MAX = 4096,       /* "Values": bytes of a name or text */
    NBD_PAYLOAD_MAX = 32u << 20, /* bytes of a read or write */
    NBD_REQUEST_BYTES = 28,
    NBD_CHUNK_BYTES = 20,
};

/* handshake flags, of the server and the client */
enum { NBD_FIXED_NEWSTYLE = 1, NBD_NO_ZEROES = 2 };

enum {
    NBD_OPT_EXPORT_NAME = 1,
    NBD_OPT_ABORT = 2,
    NBD_OPT_LIST = 3,
    NBD_OPT_STARTTLS = 5,
    NBD_OPT_INFO = 6,
    NBD_OPT_GO = 7,
    NBD_OPT_STRUCTURED_REPLY = 8,
    NBD_OPT_LIST_META_CONTEXT = 9,
    NBD_OPT_SET_META_CONTEXT = 10,
};

/* replies to options */
#define NBD_REP_ERROR(n) (0x80000000u + (n))
enum { NBD_REP_ACK = 1, NBD_REP_SERVER = 2, NBD_REP_INFO = 3, NBD_REP_META_CONTEXT = 4 };
#define NBD_REP_ERR_UNSUP NBD_REP_ERROR(1)
#define NBD_REP_ERR_POLICY NBD_REP_ERROR(2)
#define NBD_REP_ERR_INVALID NBD_REP_ERROR(3)
#define NBD_REP_ERR_UNKNOWN NBD_REP_ERROR(6)
#define NBD_REP_ERR_TOO_BIG NBD_REP_ERROR(9)

enum { NBD_INFO_EXPORT = 0, NBD_INFO_NAME = 1, NBD_INFO_DESCRIPTION = 2, NBD_INFO_BLOCK_SIZE = 3 };

/* transmission flags */
enum {
    NBD_HAS_FLAGS = 1,
    NBD_READ_ONLY = 2,
    NBD_SEND_FLUSH = 4,
    NBD_SEND_FUA = 8,
    NBD_SEND_TRIM = 32,
    NBD_SEND_WRITE_ZEROES = 64,
    NBD_SEND_DF = 128,
    NBD_CAN_MULTI_CONN = 256,
    NBD_SEND_CACHE = 1024,
};

enum {
    NBD_CMD_READ = 0,
    NBD_CMD_WRITE = 1,
    NBD_CMD_DISC = 2,
    NBD_CMD_FLUSH = 3,
    NBD_CMD_TRIM = 4,
    NBD_CMD_CACHE = 5,
    NBD_CMD_WRITE_ZEROES = 6,
    NBD_CMD_BLOCK_STATUS = 7,
    NBD_CMD_COUNT,
};
enum { NBD_CMD_FUA = 1, NBD_CMD_NO_HOLE = 2, NBD_CMD_DF = 4, NBD_CMD_REQ_ONE = 8 };

/* chunks of a structured reply */
enum { NBD_CHUNK_DONE = 1 };
enum {
    NBD_CHUNK_NONE = 0,
    NBD_CHUNK_DATA = 1,
    NBD_CHUNK_HOLE = 2,
    NBD_CHUNK_STATUS = 5,
    NBD_CHUNK_ERROR = 0x8001,
};

/* what base:allocation says of a range */
enum { NBD_STATE_HOLE = 1, NBD_STATE_ZERO = 2 };

/* "Error values" */
enum {
    NBD_EPERM = 1,
    NBD_EIO = 5,
    NBD_ENOMEM = 12,
    NBD_EINVAL = 22,
    NBD_ENOSPC = 28,
    NBD_EOVERFLOW = 75,
    NBD_ENOTSUP = 95,
    NBD_ESHUTDOWN = 108,
};

#endif
