// Package ledger is an application whose every write can be accounted for: it
// commits numbered records, each to all of its volumes in order, and notes
// every acknowledgement outside of them. Its oracle tells from a restored set
// alone whether that set is what it was said to be.
package ledger

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
)

// FileName is where on a volume the records are.
const FileName = "ledger"

// RecordSize is fixed, so that a torn record cannot hide the ones behind it.
const RecordSize = 32

const magic = 0x51474c52

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Record is one commit. Issued is when its writing began, on the machine's
// monotonic clock in nanoseconds.
type Record struct {
	N      uint64
	Issued int64
}

// Encode renders a record: magic, CRC of the rest, number, issued, zeros.
func (r Record) Encode() []byte {
	b := make([]byte, RecordSize)
	binary.BigEndian.PutUint32(b[0:], magic)
	binary.BigEndian.PutUint64(b[8:], r.N)
	binary.BigEndian.PutUint64(b[16:], uint64(r.Issued))
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	return b
}

func decode(b []byte) (Record, bool) {
	ok := binary.BigEndian.Uint32(b[0:]) == magic && binary.BigEndian.Uint32(b[4:]) == crc32.Checksum(b[8:], castagnoli)
	return Record{N: binary.BigEndian.Uint64(b[8:]), Issued: int64(binary.BigEndian.Uint64(b[16:]))}, ok
}

// Contents is what one volume held.
type Contents struct {
	Records []Record // the good ones, in their place's order
	Bad     []int    // places of records that are corrupt with good ones behind them
	Torn    bool     // the last record is incomplete or corrupt
}

// Parse reads a volume's records. A bad record at the very end is one that was
// being written; a bad one elsewhere had been acknowledged.
func Parse(data []byte) Contents {
	var c Contents
	whole := len(data) / RecordSize
	c.Torn = len(data)%RecordSize != 0
	for i := range whole {
		r, ok := decode(data[i*RecordSize : (i+1)*RecordSize])
		switch {
		case ok:
			c.Records = append(c.Records, r)
		case i == whole-1 && !c.Torn:
			c.Torn = true
		default:
			c.Bad = append(c.Bad, i)
		}
	}
	return c
}

// Read parses the ledger of a mounted volume. A volume without one holds no
// records.
func Read(mount string) (Contents, error) {
	data, err := os.ReadFile(filepath.Join(mount, FileName))
	if os.IsNotExist(err) {
		return Contents{}, nil
	}
	return Parse(data), err
}

// Ack is one acknowledgement: the record was durable on every volume.
type Ack struct {
	Record
	Acked int64 // monotonic nanoseconds
	Wall  int64 // of the acknowledgement, nanoseconds since 1970
}

const ackSize = 32

func (a Ack) encode() []byte {
	b := make([]byte, ackSize)
	binary.BigEndian.PutUint64(b[0:], a.N)
	binary.BigEndian.PutUint64(b[8:], uint64(a.Issued))
	binary.BigEndian.PutUint64(b[16:], uint64(a.Acked))
	binary.BigEndian.PutUint64(b[24:], uint64(a.Wall))
	return b
}

func readAcks(path string) ([]Ack, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	acks := make([]Ack, 0, len(data)/ackSize)
	for ; len(data) >= ackSize; data = data[ackSize:] {
		acks = append(acks, Ack{
			Record: Record{N: binary.BigEndian.Uint64(data[0:]), Issued: int64(binary.BigEndian.Uint64(data[8:]))},
			Acked:  int64(binary.BigEndian.Uint64(data[16:])),
			Wall:   int64(binary.BigEndian.Uint64(data[24:])),
		})
	}
	return acks, nil
}
