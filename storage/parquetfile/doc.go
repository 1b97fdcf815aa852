// Package parquetfile reads columns of Apache Parquet files, row group by row group, into batches with Arrow's memory layout (those
// of package arrowfile). It knows no jobs, URLs or kinds of storage; package columns calls it.
//
// Arrow v15 reads the footer and decodes the values. What it would believe is looked at before it gets there, for a hostile file
// could otherwise end the process, or let it go around in circles: the footer's lists are walked first; pages are found,
// checked against their checksums and decompressed here, to the size that their header declares and the budget allows; levels,
// positions in dictionaries and lengths are counted before Arrow sees them. Nulls and lists are put together here, too.
//
//	physical and logical type                        column
//	BOOLEAN, INT32, INT64, FLOAT, DOUBLE             bool, int32, int64, float32, float64
//	INT(8 ... 64, signed or not)                     int8 ... uint64
//	STRING, ENUM, JSON                               utf8
//	BYTE_ARRAY, FIXED_LEN_BYTE_ARRAY, UUID, BSON     binary
//	DECIMAL                                          utf8: all digits, "-12.30"
//	DATE                                             date32
//	TIMESTAMP(MILLIS, MICROS, NANOS)                 timestamp of that unit, an instant
//	INT96                                            timestamp[ns]
//	TIME                                             duration[ns] since midnight
//	FLOAT16                                          float32
//	UNKNOWN                                          null
//	LIST, repeated fields                            list
//	MAP                                              list of struct of key and value
//	groups                                           struct
//
// Pages of versions 1 and 2, all encodings in use, and the codecs snappy, gzip, brotli, zstd and LZ4_RAW are read. Encrypted
// files, the codecs LZO and LZ4, and columns of type INTERVAL are refused.
//
// Source: https://parquet.apache.org/docs/file-format/
package parquetfile
