"""What is counted in the text of an HLO module."""

import pytest

from benchmarks.gpu import hlo

# z and v are f32[4,8], 128 bytes; a row is f32[4], 16 bytes.
TEXT = """\
HloModule jit_call, is_scheduled=true, entry_computation_layout={(f32[4,8]{1,0})->f32[]}

%fused_reduce (param_0: f32[4,8]) -> f32[4] {
  %param_0 = f32[4,8]{1,0} parameter(0)
  ROOT %reduce = f32[4]{0} reduce(%param_0, %zero), dimensions={1}, to_apply=%add
}

%command_buffer (p: f32[4,8], q: f32[4]) -> bf16[4,8] {
  %p = f32[4,8]{1,0} parameter(0)
  %q = f32[4]{0} parameter(1)
  ROOT %scale = bf16[4,8]{1,0} fusion(%p, %q, %p), kind=kLoop, calls=%fused_scale
}

ENTRY %main.1 (z: f32[4,8], v: f32[4,8]) -> (f32[4], bf16[4,8]) {
  %z = f32[4,8]{1,0} parameter(0), metadata={op_name="args[0]"}
  %v = f32[4,8]{1,0} parameter(1)
  %both = (f32[4]{0}, /*index=1*/f32[4]{0}) fusion(%z, /*index=1*/%v), kind=kInput, calls=%fused_reduce, metadata={op_name="jit(call)/Sum(x)"}
  %row = f32[4]{0} get-tuple-element(%both), index=1
  %flat = f32[32]{0} bitcast(%v)
  %gemm = (f32[8,8]{1,0}, s8[4096]{0}) custom-call(%z, %flat), custom_call_target="__cublas$gemm"
  %called = bf16[4,8]{1,0} call(%z, %row), to_apply=%command_buffer
  ROOT %out = (f32[4]{0}, bf16[4,8]{1,0}) tuple(%row, %called)
}
"""  # noqa: E501


def test_kernels_and_their_bytes():
    logits, row = 4 * 8 * 4, 4 * 4
    kernels = hlo.kernels(TEXT)
    assert kernels == [
        hlo.Kernel("both", "fusion kInput", 2 * logits, 2 * row),
        # Its scratch memory is not counted.
        hlo.Kernel("gemm", "custom-call __cublas$gemm", 2 * logits, 8 * 8 * 4),
        # An operand that is there twice is read once; bfloat16 is written.
        hlo.Kernel("scale", "fusion kLoop", logits + row, logits // 2),
    ]
    moved = (2 + 2 + 1 + 0.5) * logits + 3 * row + 8 * 8 * 4
    assert hlo.bytes_moved(kernels) == moved
    assert set(hlo.kinds(kernels).values()) == {1}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ENTRY ", "", "HLO module"),
        (" call(", " while(", "no loop.*called"),
        ("bf16", "f4e2m1fn", "'f4e2m1fn'"),
    ],
)
def test_what_cannot_be_counted_is_refused(old, new, message):
    with pytest.raises(ValueError, match=message):
        hlo.kernels(TEXT.replace(old, new))
