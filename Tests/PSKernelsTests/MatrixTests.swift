// Transposes and sums of the C kernels over uneven sizes.

import CKernels
import Testing

@Suite struct MatrixTests {
    @Test(arguments: [(1, 1), (16, 16), (33, 50), (15, 64), (64, 17), (48, 32)])
    func transpose(rows: Int, columns: Int) {
        let (gap, sentinel) = (3, Float(-7))
        let from = (0..<rows * (columns + gap)).map { Float($0) }
        var to = [Float](repeating: sentinel, count: columns * (rows + gap))
        engine_transpose(from, columns + gap, &to, rows + gap, rows, columns)
        for column in 0..<columns {
            for row in 0..<rows { #expect(to[column * (rows + gap) + row] == from[row * (columns + gap) + column]) }
            for between in 0..<gap { #expect(to[column * (rows + gap) + rows + between] == sentinel) }
        }
    }

    @Test func partsAreAddedInOrder() {
        var parts: [Float] = [1, 2, 0, 1e8, 10, 0, -1e8, 100, 0]
        engine_add_parts(&parts, 3, 3, 2)
        #expect(parts[0] == (1 + 1e8) + -1e8 && parts[1] == 112 && parts[2] == 0)
    }
}
