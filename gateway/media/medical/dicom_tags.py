"""Which tags of a DICOM file are read. What is not read cannot leak, and 600 headers of a series stay small."""

from __future__ import annotations

# What files a patient and a study in an archive: compared, copied into derived objects, and never shown.
IDENTITY = [
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SOPClassUID",
    "SOPInstanceUID",
    "FrameOfReferenceUID",
]

# What the pixels are and mean.
PICTURE = [
    "ImageType",
    "Modality",
    "RescaleType",
    "PresentationIntentType",
    "ViewPosition",
    "ViewCodeSequence",
    "BodyPartExamined",
    "AnatomicRegionSequence",
    "LossyImageCompression",
    "SamplesPerPixel",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "ExtendedOffsetTable",
    "RescaleIntercept",
    "RescaleSlope",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "PresentationLUTShape",
]

# Where they lie.
PLACE = [
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "DimensionOrganizationSequence",
    "DimensionIndexSequence",
]

READ = [*IDENTITY, *PICTURE, *PLACE]
