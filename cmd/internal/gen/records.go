package gen

import "math/rand/v2"

const (
	recordSize = 100
	keySize    = 10
	digits     = 20 // of the largest number of a record
)

// fillRecords fills dst with whole records.
func fillRecords(dst []byte, block int64, rnd *rand.PCG) int {
	dst = dst[:len(dst)-len(dst)%recordSize]
	number := block * (blockSize / recordSize)
	for at := 0; at < len(dst); at += recordSize {
		fillRecord(dst[at:at+recordSize], number, rnd)
		number++
	}
	return len(dst)
}

// fillRecord writes one record. Sixteen random bits make a character, so that all of them are about as frequent.
func fillRecord(dst []byte, number int64, rnd *rand.PCG) {
	var bits uint64
	for i := range keySize {
		if i%4 == 0 {
			bits = rnd.Uint64()
		}
		dst[i] = ' ' + byte(uint64(uint16(bits))*95>>16)
		bits >>= 16
	}
	dst[keySize] = ' '
	at := keySize + 1 + digits
	for i, n := at-1, number; i > keySize; i, n = i-1, n/10 {
		dst[i] = '0' + byte(n%10)
	}
	letter := byte(bits % 26)
	for i := at; i < recordSize-1; i += 4 { // runs of four letters: as compressible as text
		copy(dst[i:recordSize-1], []byte{'A' + letter, 'A' + letter, 'A' + letter, 'A' + letter})
		letter = (letter + 7) % 26
	}
	dst[recordSize-1] = '\n'
}
