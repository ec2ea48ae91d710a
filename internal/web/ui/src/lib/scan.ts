// Reads a QR code out of a picture, where the browser can.
interface Detector {
  detect(image: ImageBitmapSource): Promise<{ rawValue: string }[]>;
}
type DetectorClass = new (options: { formats: string[] }) => Detector;

const Found = (globalThis as { BarcodeDetector?: DetectorClass }).BarcodeDetector;
export const canScan = Found !== undefined;

export async function scanImage(file: Blob): Promise<string> {
  if (!Found) return '';
  try {
    const codes = await new Found({ formats: ['qr_code'] }).detect(await createImageBitmap(file));
    return codes.find((c) => c.rawValue.startsWith('parley:'))?.rawValue ?? '';
  } catch {
    return '';
  }
}
