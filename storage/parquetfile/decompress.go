package parquetfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/pierrec/lz4/v4"

	"github.com/millrace/millrace/storage/arrowfile"
)

// The codecs of pages. Arrow v15 lacks the last one, and its others allocate what the compressed bytes say.
const (
	codecNone   = 0
	codecSnappy = 1
	codecGzip   = 2
	codecBrotli = 4
	codecLZ4    = 5
	codecZstd   = 6
	codecLZ4Raw = 7
)

var errUnpacked = errors.New("it does not have the size that its header declares")

// unpacker decompresses pages of one codec. One goroutine uses it.
type unpacker struct {
	codec int
	zstd  *arrowfile.Zstd
}

// unpack decompresses a page to exactly out.
func (u unpacker) unpack(out, data []byte) error {
	if len(out) == 0 && (len(data) == 0 || u.codec != codecNone) { // some writers leave out the frame around nothing
		return nil
	}
	n := 0
	var err error
	switch u.codec {
	case codecNone:
		if n = len(data); n == len(out) {
			copy(out, data)
		}
	case codecSnappy:
		if n, err = snappy.DecodedLen(data); err == nil && n == len(out) {
			_, err = snappy.Decode(out, data)
		}
	case codecGzip:
		r, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return err
		}
		return unpackStream(r, out)
	case codecBrotli:
		return unpackStream(brotli.NewReader(bytes.NewReader(data)), out)
	case codecZstd:
		return u.zstd.Unpack(out, data)
	case codecLZ4Raw:
		n, err = lz4.UncompressBlock(data, out)
	case codecLZ4:
		return errors.New("the codec LZ4 was never defined well and is deprecated: write the file with LZ4_RAW, snappy or zstd")
	default:
		return fmt.Errorf("codec %d is not known to this version: write the file with snappy or zstd", u.codec)
	}
	if err == nil && n != len(out) {
		err = errUnpacked
	}
	return err
}

func unpackStream(r io.Reader, out []byte) error {
	if _, err := io.ReadFull(r, out); err != nil {
		return err
	}
	var more [1]byte
	if n, err := r.Read(more[:]); n > 0 || err != io.EOF {
		return errUnpacked
	}
	return nil
}
