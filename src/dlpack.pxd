"""Tensors that are not NumPy's, seen in C: DLPack's table of functions, which PyTorch has from 2.10 on.

https://dmlc.github.io/dlpack/latest/python_spec.html
"""

from cpython.exc cimport PyErr_Clear
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    MAJOR_VERSION = 1
    CPU = 1
    FLOAT = 2


cdef struct dl_device_t:
    int32_t kind
    int32_t number


cdef struct dl_dtype_t:
    uint8_t code
    uint8_t bits
    uint16_t lanes


cdef struct dl_tensor_t:
    void *data
    dl_device_t device
    int32_t ndim
    dl_dtype_t dtype
    int64_t *shape
    int64_t *strides  # in elements; NULL: in C order, without gaps
    uint64_t byte_offset


cdef struct exchange_t:
    uint32_t major
    uint32_t minor
    void *previous
    void *allocate
    void *managed_from_object
    void *object_from_managed
    int (*tensor_from_object)(void *item, dl_tensor_t *to) noexcept  # lends pointers; -1 with an exception if not
    void *current_stream


cdef inline const exchange_t *exchange_of(object kind) except? NULL:
    """The table of a type, or NULL."""
    cdef object capsule = getattr(kind, "__dlpack_c_exchange_api__", None)
    if capsule is None:
        return NULL
    cdef const exchange_t *exchange = <const exchange_t *>PyCapsule_GetPointer(capsule, "dlpack_exchange_api")
    return exchange if exchange.major == MAJOR_VERSION and exchange.tensor_from_object != NULL else NULL


cdef inline void *floats_of(const exchange_t *exchange, void *item, dl_tensor_t *tensor) noexcept:
    """The first element of a tensor of floats in this machine's memory, in C order without gaps, else NULL."""
    cdef int64_t reach = 1
    cdef int axis
    if exchange.tensor_from_object(item, tensor) != 0:
        PyErr_Clear()
        return NULL
    if tensor.device.kind != CPU or tensor.dtype.code != FLOAT or tensor.dtype.lanes != 1:
        return NULL
    if tensor.strides != NULL:
        for axis in range(tensor.ndim - 1, -1, -1):
            if tensor.shape[axis] != 1:
                if tensor.strides[axis] != reach:
                    return NULL
                reach *= tensor.shape[axis]
    return <char *>tensor.data + tensor.byte_offset
